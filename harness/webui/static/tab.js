// Shows the live figure below Locust's Quotas tab, and why an edit was refused, which Locust's dialogs close without saying.
// Both stand outside of Locust's own tree, which React keeps for itself. Only the headings of the form's groups are put into it.
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
    toast.textContent = message;
    document.body.append(toast);
    clearTimeout(hiding);
    hiding = setTimeout(() => toast.remove(), 12000);
  };
  // A live run is announced and asked for before it begins: the server refuses the form until it comes with its token.
  const asked = (lines) => new Promise((decide) => {
    const dialog = document.createElement("dialog");
    dialog.id = "chatquota-confirm";
    dialog.setAttribute("aria-labelledby", "chatquota-confirm-title");
    dialog.style.cssText = "max-width: 760px; padding: 20px 24px; border-radius: 8px; border: 2px solid #b3261e; font: 15px/1.5 system-ui, sans-serif;";
    const title = document.createElement("h2");
    title.id = "chatquota-confirm-title";
    title.textContent = "Start real chats?";
    const text = document.createElement("pre");
    text.textContent = lines.join("\n");
    text.style.cssText = "white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace;";
    const button = (label, value) => {
      const made = document.createElement("button");
      made.textContent = label;
      made.style.cssText = "font: inherit; padding: 6px 16px; margin-right: 12px;";
      made.addEventListener("click", () => dialog.close(value));
      return made;
    };
    dialog.append(title, text, button("Do not start", ""), button("Start the live run", "yes"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      decide(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });

  const send = window.fetch;
  // Locust's buttons say nothing where what they sent had no effect, the Stop button neither.
  const post = async (...given) => {
    const answer = await send(...given).catch((error) => {
      refused("No answer: this did not reach the process, and had no effect. Load the page again, then try again.");
      throw error;
    });
    if (answer.redirected && new URL(answer.url).pathname.endsWith("/login")) {
      refused("You are logged out, and this had no effect. Load the page again.");
    }
    return answer;
  };
  const swarm = async (request) => {
    const fields = new URLSearchParams(await request.clone().text());
    const editing = [...document.querySelectorAll("[role=presentation] button")].some((b) => b.textContent === "Update");
    if (editing) fields.set("chatquota_edit", "1");
    const submit = () => post(request.url, { method: "POST", body: fields, credentials: "same-origin" });
    const answer = await submit();
    const said = await answer.clone().json().catch(() => ({}));
    if (said.confirm) {
      if (await asked(said.announcement)) {
        fields.set("chatquota_confirmed", said.confirm);
        return submit();
      }
      const not = { success: false, message: "not started: nobody agreed to the live run", host: said.host };
      return new Response(JSON.stringify(not), { status: 200, headers: { "content-type": "application/json" } });
    }
    const running = [...document.querySelectorAll("#root button")].some((button) => button.textContent === "Edit");
    if (said.success === false && running) refused(said.message); // the start form says it itself
    return answer;
  };
  const userSettings = async (request) => {
    const answer = await post(request);
    const said = answer.ok ? {} : await answer.clone().json().catch(() => ({}));
    if (said.message) refused(said.message);
    return answer;
  };
  window.fetch = (...given) => {
    // A request that is made of another one takes its body: what is not ours is passed on as it came.
    const [what, how] = given;
    const request = what instanceof Request;
    const method = how?.method ?? (request ? what.method : "GET");
    const { pathname } = new URL(request ? what.url : what, document.baseURI);
    if (method !== "POST") return send(...given);
    if (pathname.endsWith("/swarm")) return swarm(new Request(...given));
    return pathname.endsWith("/user") ? userSettings(new Request(...given)) : post(...given);
  };

  // Locust's form lists the options one after another. Each group gets a heading before its first field, and owns its fields for
  // screen readers; the fields stay where React has put them, as it would not find them in an element of ours.
  const plain = (name) => name.replaceAll("_", "").toLowerCase(); // Locust's page writes hold_time as holdTime
  const groups = Object.entries(window.templateArgs?.chatquota_groups ?? {});
  const groupOf = new Map(groups.flatMap(([title, names]) => names.map((name) => [plain(name), title])));
  // Locust's page makes "Treat Bare 42 9As" of treat_bare_429_as.
  const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
  const titleOf = new Map(groups.flatMap(([, names]) => names).map((name) => [plain(name), name.split("_").map(capital).join(" ")]));
  const entitle = (field) => {
    const text = [...(field.labels ?? [])].flatMap((label) => [...label.childNodes]).find((one) => one.nodeType === Node.TEXT_NODE);
    const [wrong] = text?.data.split(" (") ?? [""];
    const title = titleOf.get(plain(field.name));
    if (wrong && wrong !== title && plain(wrong.replaceAll(" ", "_")) === plain(field.name)) text.data = title + text.data.slice(wrong.length);
  };
  let grouped = 0;
  const headed = (title, fields) => {
    const group = document.createElement("div");
    group.className = "chatquota-group";
    group.setAttribute("role", "group");
    const heading = document.createElement("h4");
    heading.id = `chatquota-group-${++grouped}`;
    heading.textContent = title;
    heading.style.cssText = "margin: 0; padding-top: 12px; border-top: 1px solid #8888; font: 600 17px/1.4 system-ui, sans-serif;";
    group.setAttribute("aria-labelledby", heading.id);
    fields.forEach((field, index) => { field.id ||= `${heading.id}-${index}`; });
    group.setAttribute("aria-owns", fields.map((field) => field.id).join(" "));
    group.append(heading);
    fields[0].before(group);
  };
  const group = (form) => {
    const named = [...form.querySelectorAll("input[name], select[name], textarea[name]")].filter((one) => groupOf.has(plain(one.name)));
    if (named.length < 2) return;
    let list = named[0];
    while (!list.contains(named.at(-1))) list = list.parentElement;
    if (list.querySelector(".chatquota-group")) return;
    named.forEach(entitle);
    const runs = [];
    for (const field of list.children) {
      const title = groupOf.get(plain(field.querySelector("[name]")?.name ?? "")) ?? "Of the locustfile";
      if (runs.at(-1)?.title !== title) runs.push({ title, fields: [] });
      runs.at(-1).fields.push(field);
    }
    runs.forEach(({ title, fields }) => headed(title, fields));
  };

  // Boxes and cogwheels of the user classes, and the button for light and dark, are pictures without a name.
  const name = (button, text) => button && !button.ariaLabel && !button.textContent && (button.ariaLabel = text);
  const nameAll = () => {
    for (const button of document.querySelectorAll("header button")) name(button, "Light or dark");
    for (const row of document.querySelectorAll("table tr:has(input[type=checkbox])")) {
      const [box, cog] = [row.querySelector("input[type=checkbox]"), row.querySelector("button")];
      const text = row.textContent.trim();
      name(box, text || "All user classes");
      name(cog, `Settings of ${text}`);
    }
  };

  const follow = () => {
    document.querySelectorAll("form").forEach(group);
    nameAll();
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
