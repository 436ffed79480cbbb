"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const tokens = read("data-tokens");
  const template = read("data-template");
  const swap = new Map(Object.keys(tokens.light).map((name) => [tokens.light[name], tokens.dark[name]]));
  const root = document.documentElement;
  const plots = [...document.querySelectorAll("[data-plot]")];
  const PHONE = 560;
  let printing = false;

  // plotly.js: unpack once; its hash stands in the content security policy
  const ready = (async () => {
    const packed = document.getElementById("plotly-gz");
    if (!packed) return;
    if (typeof DecompressionStream === "undefined") {
      document.getElementById("unsupported").hidden = false;
      throw new Error("no DecompressionStream");
    }
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    packed.textContent = "";
  })();

  const dark = (value) => {
    if (typeof value === "string") return swap.get(value) ?? value;
    if (Array.isArray(value)) return value.map(dark);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, dark(inner)]));
    return value;
  };

  const put = (target, path, value) => {
    const keys = path.split(".");
    const last = keys.pop();
    let inner = target;
    for (const key of keys) inner = inner[key] ??= {};
    inner[last] = value;
  };

  const figureFor = (element, width) => {
    const view = read(`f-${element.dataset.plot}-${element.dataset.shown || 0}`);
    const figure = view.narrow && width < view.narrowBelow ? view.narrow : view.figure;
    const layout = { ...figure.layout, template, autosize: true };
    const chosen = { data: figure.data, layout };
    if (width < PHONE) {
      for (const [path, value] of Object.entries(view.small)) {
        if (figure !== view.figure) break;
        put(path.startsWith("data.") ? chosen : layout, path, value);
      }
      layout.dragmode = false;
    }
    return root.dataset.theme === "dark" && !printing ? dark(chosen) : chosen;
  };

  const draw = async (element, given) => {
    await ready;
    paint(element, given);
  };

  const paint = (element, given) => {
    const width = given || element.clientWidth;
    const figure = figureFor(element, width);
    if (given) Object.assign(figure.layout, { width: given, height: Math.round(0.85 * figure.layout.height) });
    element.style.minHeight = `${figure.layout.height}px`;
    element.dataset.width = String(width);
    const config = {
      responsive: !given,
      displaylogo: false,
      displayModeBar: width < PHONE ? false : "hover",
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    };
    Plotly.react(element, figure.data, figure.layout, config);
    element.dataset.drawn = "yes";
  };

  // Draw what is near the view first, the rest one at a time when the page is idle
  const waiting = new Set(plots);
  const start = (element) => waiting.delete(element) && draw(element).catch(() => {});
  const near = new IntersectionObserver((entries) => entries.forEach((e) => e.isIntersecting && start(e.target)), { rootMargin: "500px" });
  plots.forEach((element) => near.observe(element));
  const idle = window.requestIdleCallback || ((task) => setTimeout(task, 50));
  const next = () => {
    const [element] = waiting;
    if (!element) return;
    start(element);
    idle(next);
  };
  ready.then(() => idle(next)).catch(() => {});

  const redraw = () => plots.forEach((element) => element.dataset.drawn && draw(element));

  document.querySelectorAll(".views").forEach((group) => {
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const figure = group.closest("figure");
      const element = figure.querySelector("[data-plot]");
      group.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      element.dataset.shown = button.dataset.view;
      figure.querySelector(".takeaway").textContent = button.dataset.takeaway;
      element.setAttribute("aria-label", `${element.dataset.title}. ${button.dataset.takeaway}`);
      waiting.delete(element);
      draw(element);
    });
  });

  // Theme
  const button = document.getElementById("theme");
  const setTheme = (name) => {
    root.dataset.theme = name;
    button.setAttribute("aria-pressed", String(name === "dark"));
    redraw();
  };
  button.addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  if (matchMedia("(prefers-color-scheme: dark)").matches) setTheme("dark");

  // A figure whose width crosses one of its limits is drawn anew
  let timer = 0;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => plots.forEach((e) => e.dataset.drawn && Number(e.dataset.width) !== e.clientWidth && !printing && draw(e)), 150);
  });

  // Print: light, 690 px, drawn twice because legend margins need the second pass
  const theme = () => root.dataset.theme;
  let before = "light";
  addEventListener("beforeprint", () => {
    printing = true;
    before = theme() || "light";
    root.dataset.theme = "light";
    if (typeof Plotly === "undefined") return;
    for (let pass = 0; pass < 2; pass += 1) plots.forEach((element) => paint(element, 690));
  });
  addEventListener("afterprint", () => {
    printing = false;
    root.dataset.theme = before;
    redraw();
  });
  document.getElementById("print").addEventListener("click", () => window.print());

  // Current section in the navigation
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.getAttribute("href").slice(1), a]));
  const current = new IntersectionObserver((entries) => entries.forEach((e) => {
    if (!e.isIntersecting) return;
    links.forEach((a) => a.removeAttribute("aria-current"));
    links.get(e.target.id === "story" ? "main" : e.target.id)?.setAttribute("aria-current", "true");
  }), { rootMargin: "-30% 0px -60% 0px" });
  document.querySelectorAll("main > section").forEach((s) => current.observe(s));
})();
