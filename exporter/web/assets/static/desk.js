// Adds what needs scripts to pages that are complete without: local time, live
// updates, copying, zooming and a key for the search. All texts come from the page.
"use strict";

(() => {
  const root = document.documentElement;
  const words = document.body.dataset;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Local time. The server writes UTC.
  const pad = (n, width = 2) => String(n).padStart(width, "0");
  const styles = {
    minute: (t) => `${pad(t.getHours())}:${pad(t.getMinutes())}`,
    clock: (t) => `${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}`,
    date: (t) => `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())}`,
    day: (t) => `${styles.date(t).slice(5)} ${styles.minute(t)}`,
    moment: (t) => `${styles.date(t)} ${styles.minute(t)}`,
    stamp: (t) => `${styles.date(t)} ${styles.clock(t)}`,
  };
  const localise = (within) => {
    if (root.dataset.zone !== "local") return;
    for (const e of all("[data-style]", within)) e.textContent = styles[e.dataset.style](new Date(e.dateTime ?? e.dataset.time));
    for (const e of all("svg.failures title", within)) { // of the bars
      const { from, step } = e.closest(".chart").dataset;
      const at = new Date((Number(from) + e.nextElementSibling.x.baseVal.value * step) * 1000);
      e.textContent = e.textContent.replace(/^[\d:]+ UTC/, styles[step < 60 ? "clock" : "minute"](at));
    }
  };
  const reveal = (within) => all(".scripted", within).forEach((e) => { e.hidden = false; });

  // Preferences are kept in cookies, so links to the page need not have them.
  const here = new URL(location.href);
  for (const name of ["lang", "theme", "tz"]) here.searchParams.delete(name);
  if (here.href !== location.href) history.replaceState(null, "", here.href);

  // Messages.
  const toast = document.getElementById("toast");
  let toastTimer = 0;
  const say = (text) => {
    toast.textContent = text;
    toast.dataset.shown = "";
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { delete toast.dataset.shown; }, 2500);
  };

  // Copying. Browsers offer the clipboard to HTTPS and localhost only.
  const copy = async (text) => {
    try {
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
      } else {
        const area = document.createElement("textarea");
        area.value = text;
        area.setAttribute("aria-hidden", "true");
        document.body.append(area);
        area.select();
        const ok = document.execCommand("copy");
        area.remove();
        if (!ok) throw new Error("refused");
      }
      say(words.copied);
    } catch {
      say(words.notCopied);
    }
  };
  document.addEventListener("click", async (event) => {
    const e = event.target.closest("[data-copy], [data-copy-text], [data-copy-link], [data-copy-url]");
    if (!e || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { copy: id, copyText, copyLink } = e.dataset;
    if (id) await copy(document.getElementById(id).textContent);
    else if (copyText) await copy(copyText);
    else if (copyLink) await copy(location.origin + copyLink);
    else {
      const response = await fetch(e.href).catch(() => null);
      if (response?.ok) await copy(await response.text());
      else say(words.notCopied);
    }
    e.focus();
  });

  // Zooming: drag over the chart.
  let drag = null;
  const position = (event) => {
    const box = drag.canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  document.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest("svg.failures");
    if (!svg || event.button !== 0 || event.pointerType === "touch") return;
    event.preventDefault(); // no dragging of the link
    drag = { canvas: svg.parentElement, chart: svg.closest(".chart").dataset };
    drag.start = position(event);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.end = position(event);
    const [left, right] = [Math.min(drag.start, drag.end), Math.max(drag.start, drag.end)];
    if (!drag.box) {
      if ((right - left) * drag.canvas.clientWidth < 5) return;
      drag.box = document.createElement("div");
      drag.box.className = "selection";
      drag.canvas.append(drag.box);
    }
    drag.box.style.left = `${left * 100}%`;
    drag.box.style.width = `${(right - left) * 100}%`;
  });
  // The click that ends a drag must not follow the link of a bar.
  let dragged = false;
  document.addEventListener("click", (event) => { if (dragged) event.preventDefault(); }, true);
  document.addEventListener("pointerup", () => {
    dragged = Boolean(drag?.box);
    if (dragged) {
      drag.box.remove();
      const { from, to, step, bars } = drag.chart;
      const [left, right] = [Math.min(drag.start, drag.end), Math.max(drag.start, drag.end)];
      const first = Math.floor(left * bars);
      const last = Math.max(first + 1, Math.ceil(right * bars));
      const url = new URL(location.href);
      url.searchParams.delete("cursor");
      url.searchParams.set("from", String(Number(from) + first * step));
      url.searchParams.set("to", String(Math.min(Number(to), Number(from) + last * step)));
      location.assign(url);
    }
    drag = null;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drag) {
      drag.box?.remove();
      drag = null;
    }
    const search = document.getElementById("search");
    if (event.key === "/" && search && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });

  // Live updates: events say that there is something new, and the server renders it.
  const button = document.getElementById("live");
  const refreshEvery = 2000;
  const idleRefresh = 15000;
  let paused = false;
  let source = null;
  let last = 0;
  let timer = 0;

  // The selector of an element in what replaces its surroundings: in the same row, if any.
  const keyOf = (e) => {
    if (e.id) return `#${CSS.escape(e.id)}`;
    const row = e.closest("[data-id]");
    const attributes = ["href", "tabindex"].filter((a) => e.hasAttribute(a)).map((a) => `[${a}="${CSS.escape(e.getAttribute(a))}"]`);
    return (row ? `[data-id="${CSS.escape(row.dataset.id)}"] ` : "") + e.localName + attributes.join("");
  };
  const replace = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML && old.dataset.state === fresh.dataset.state) return;
    const seen = new Set(all("[data-id]", old).map((e) => e.dataset.id));
    const open = all("details[open]", old).map((e) => e.id);
    const focused = old.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    const node = document.adoptNode(fresh);
    if (seen.size > 0) all("[data-id]", node).forEach((e) => e.classList.toggle("fresh", !seen.has(e.dataset.id)));
    open.forEach((id) => { const d = node.querySelector(`#${CSS.escape(id)}`); if (d) d.open = true; });
    old.replaceWith(node);
    reveal(node);
    localise(node);
    if (focused) node.querySelector(focused)?.focus({ preventScroll: true });
  };
  // What is pressed must not be replaced before it is released, or the click is lost.
  let pressed = false;
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { setTimeout(() => { pressed = false; }); }, true);
  const busy = () => paused || pressed || drag || document.hidden || String(getSelection()) !== "";
  const refresh = async () => {
    if (busy()) return;
    last = Date.now();
    const response = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    const text = response?.ok ? await response.text() : "";
    if (text === "" || busy()) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const old of all("[data-live]")) {
      const next = fresh.getElementById(old.id);
      if (next) replace(old, next);
    }
    root.dataset.updated = String(last);
  };
  const schedule = () => {
    if (timer || paused) return;
    timer = setTimeout(() => { timer = 0; refresh(); }, Math.max(0, last + refreshEvery - Date.now()));
  };
  const show = (state) => {
    button.querySelector("span").textContent = words[state];
    button.toggleAttribute("data-lost", state === "liveLost");
    button.setAttribute("aria-pressed", String(state !== "liveOff"));
  };
  const connect = () => {
    source = new EventSource("/api/v1/events");
    source.onopen = () => { show("liveOn"); schedule(); };
    source.onerror = () => show("liveLost");
    for (const name of ["failure", "group", "notice", "missed"]) source.addEventListener(name, schedule);
  };
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      if (paused) { source.close(); show("liveOff"); } else connect();
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) schedule(); });
    setInterval(() => { if (Date.now() - last >= idleRefresh) schedule(); }, 1000);
    addEventListener("pagehide", () => source?.close());
    addEventListener("pageshow", (event) => { if (event.persisted && !paused) connect(); });
    connect();
  }

  reveal(document);
  localise(document);
})();
