// Shows the live figure below Locust's Quotas tab. It stands outside of Locust's own tree, which React keeps for itself.
(() => {
  const section = document.createElement("section");
  section.id = "chatquota-figure";
  section.style.cssText = "max-width: 1536px; margin: 0 auto 56px; padding: 0 24px; box-sizing: border-box;";
  const frame = document.createElement("iframe");
  frame.title = "Live quota figure";
  frame.style.cssText = "width: 100%; border: 0; display: block;";
  section.append(frame);
  document.body.append(section);
  // Locust's page is at least as high as the window, which would push the figure out of sight.
  const style = document.createElement("style");
  style.textContent = "#root > div { min-height: 0 !important; }";

  addEventListener("message", (event) => {
    if (event.source === frame.contentWindow && event.data && event.data.chatquotaHeight) {
      frame.style.height = `${event.data.chatquotaHeight}px`;
    }
  });

  const follow = () => {
    const shown = new URLSearchParams(location.search).get("tab") === "quotas"
      && document.querySelector("[role=tab][aria-selected=true]")?.textContent === "Quotas";
    if (shown && !frame.src) {
      frame.src = "./quotas?embedded";
    }
    if (section.hidden === shown) {
      section.hidden = !shown;
      shown ? document.head.append(style) : style.remove();
    }
  };
  section.hidden = true;
  follow();
  setInterval(follow, 300);
})();
