// Shows the live figure below Locust's Quotas tab, and why an edit was refused, which Locust's dialog closes without saying.
// Both stand outside of Locust's own tree, which React keeps for itself.
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

  const toast = document.createElement("div");
  toast.id = "chatquota-refused";
  toast.setAttribute("role", "alert");
  toast.style.cssText = "position: fixed; left: 50%; bottom: 32px; transform: translateX(-50%); max-width: 720px; z-index: 9999; "
    + "padding: 14px 20px; border-radius: 6px; background: #b3261e; color: #fff; font: 15px/1.4 system-ui, sans-serif; "
    + "box-shadow: 0 4px 16px #0006;";
  let hiding = 0;
  const refused = (message) => {
    const running = [...document.querySelectorAll("#root button")].some((button) => button.textContent === "Edit");
    if (!running) return; // the start form says it itself
    toast.textContent = message;
    document.body.append(toast);
    clearTimeout(hiding);
    hiding = setTimeout(() => toast.remove(), 12000);
  };
  const send = window.fetch;
  window.fetch = async (...request) => {
    const answer = await send(...request);
    const url = request[0] instanceof Request ? request[0].url : String(request[0]);
    if (new URL(url, location.href).pathname.endsWith("/swarm") && answer.ok) {
      answer.clone().json().then((said) => said.success || refused(said.message), () => {});
    }
    return answer;
  };

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
