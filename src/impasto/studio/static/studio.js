// The page: tabs, theme, controls, and what joins the parts.

import { call, complain, element } from "./api.js";
import { startBrush } from "./brush.js";
import { parts, startExplore } from "./explore.js";
import { load, startHistory } from "./history.js";
import { onPictures, pictures, setPictures, startInputs } from "./inputs.js";
import { active, duration, estimate, leave, run, show, startRun } from "./run.js";

const byId = (id) => document.getElementById(id);
const TABS = ["paint", "explore", "history"];
const STEER_MS = 80;
const options = {};
let presets = { options: [], recipes: [], samples: [] };
let frame = null;

// Tabs ---------------------------------------------------------------------------------------------------------------

function open(name) {
  for (const tab of TABS) {
    const chosen = tab === name;
    byId(tab).hidden = !chosen;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
  }
  if (name === "history") load();
}

function startTabs() {
  for (const [index, tab] of TABS.entries()) {
    byId(`tab-${tab}`).addEventListener("click", () => open(tab));
    byId(`tab-${tab}`).addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      const next = TABS[(index + move + TABS.length) % TABS.length];
      open(next);
      byId(`tab-${next}`).focus();
    });
  }
}

// Theme --------------------------------------------------------------------------------------------------------------

const system = matchMedia("(prefers-color-scheme: dark)");
const theme = () => {
  const wish = byId("theme").value;
  return wish === "auto" ? (system.matches ? "dark" : "light") : wish;
};

function dress() {
  document.documentElement.dataset.theme = theme();
  frame?.contentWindow?.postMessage({ from: "studio", theme: theme() }, location.origin);
}

function startTheme() {
  byId("theme").value = localStorage.getItem("theme") || "auto";
  byId("theme").addEventListener("change", () => { localStorage.setItem("theme", byId("theme").value); dress(); });
  system.addEventListener("change", dress);
  dress();
}

// Controls -----------------------------------------------------------------------------------------------------------

function valued(name, value) {
  const option = presets.options.find((one) => one.name === name);
  if (!option || value === "") return value === "" ? undefined : value;
  if (option.type === "int" || option.type === "float") {
    const number = Number(value);
    return Number.isFinite(number) ? number : value;
  }
  return value;
}

let steering = {};
let timer = null;

function turned(name, value) {
  const now = valued(name, value);
  if (options[name] === now) return;
  if (now === undefined) delete options[name];
  else options[name] = now;
  if (name === "recipe") explain(now);
  if (!active()) return;
  const live = presets.options.find((one) => one.name === name)?.live;
  if (live && typeof now === "number") {
    steering[name] = now;
    timer ??= setTimeout(steer, STEER_MS);
  } else {
    byId("pending").hidden = false;
    byId("pending").querySelector("span").textContent = `A new ${name.replaceAll("_", " ")} needs a new run.`;
  }
}

function explain(name) {
  const recipe = presets.recipes.find((one) => one.name === name);
  if (recipe) byId("knobs-state").textContent = `${recipe.name}: ${recipe.summary} (${recipe.source}).`;
}

async function steer() {
  const values = steering;
  [steering, timer] = [{}, null];
  try {
    Object.assign(run.job, { steering: (await call("PATCH", `/jobs/${run.job.id}`, values)).steering });
    complain(null);
  } catch (error) {
    complain(error);
  }
}

function setOptions(values) {
  for (const name of Object.keys(options)) delete options[name];
  Object.assign(options, values);
  const all = Object.fromEntries(presets.options.map((one) => [one.name, one.default]));
  frame?.contentWindow?.postMessage({ from: "studio", options: { recipe: "impasto", ...all, ...values } }, location.origin);
}

function startControls() {
  frame = byId("controls");
  window.addEventListener("message", (event) => {
    if (event.origin !== location.origin || event.data?.from !== "controls") return;
    if (event.data.ready) {
      frame.hidden = false;
      byId("knobs-state").textContent = "What is marked as acting at once steers the run that is on the canvas.";
      dress();
      setOptions({ ...options });
    } else if (event.data.height) frame.style.height = `${event.data.height + 24}px`;
    else if (event.data.name) turned(event.data.name, event.data.value);
  });
}

let framed = false;

async function look() {
  const place = byId("health");
  try {
    const health = await call("GET", "/health");
    const waiting = health.jobs.queued ? `, ${health.jobs.queued} waiting` : "";
    place.textContent = health.status === "ok" ? `ready${waiting}` : "the painter is starting";
    if (!framed && health.page === "ready") {
      framed = true;
      frame.hidden = false;
      frame.src = `/controls/?__theme=${theme()}`;
    } else if (health.page === "failed") byId("knobs-state").textContent = "The controls could not be loaded; runs use the default settings. The terminal says why.";
    else if (health.page === "off") byId("knobs-state").textContent = "The controls were switched off when the studio was started.";
    setTimeout(look, framed && health.status === "ok" ? 5000 : 400);
  } catch (error) {
    place.textContent = error.message;
    setTimeout(look, 2000);
  }
}

// Runs ---------------------------------------------------------------------------------------------------------------

async function paint(more = {}) {
  complain(null);
  byId("start").disabled = true;
  try {
    show(await call("POST", "/jobs", { ...parts(), options: { ...options, ...more } }));
    open("paint");
  } catch (error) {
    complain(error);
  } finally {
    ready();
  }
}

const ready = () => { byId("start").disabled = !pictures.content || !pictures.styles.length; };

async function again() {
  if (active()) await call("POST", `/jobs/${run.job.id}/cancel`).catch(() => {});
  paint();
}

function startLarger() {
  const dialog = byId("larger");
  const guess = () => {
    const seconds = estimate(Number(byId("larger-size").value));
    byId("larger-time").textContent = seconds === null ? "How long it takes cannot be said before a run was watched here." : `About ${duration(seconds)} on this machine.`;
  };
  byId("large").addEventListener("click", () => { guess(); dialog.showModal(); });
  byId("larger-size").addEventListener("change", guess);
  byId("larger-go").addEventListener("click", () => {
    dialog.close();
    use(run.job);
    paint({ size: byId("larger-size").value });
  });
}

function use(job) {
  setPictures(job.content, job.styles.map((style) => ({ ...style })), job.protect);
  setOptions({ ...job.options, ...job.steering });
}

async function reopen() {
  const id = location.hash.slice(1);
  if (!/^[0-9a-f]{16}$/.test(id)) return;
  try {
    const job = await call("GET", `/jobs/${id}`);
    use(job);
    show({ ...job, step: 0 });
  } catch {
    location.hash = "";
  }
}

async function start() {
  startTabs();
  startTheme();
  startControls();
  startRun();
  startBrush();
  startLarger();
  onPictures(ready);
  byId("start").addEventListener("click", () => again());
  byId("again").addEventListener("click", () => again());
  for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea, button, a, summary, canvas")) return;
    if (event.key === "p" && !byId("pause").disabled) byId("pause").click();
    if (event.key === "s" && !byId("stop").disabled) byId("stop").click();
  });
  startExplore(() => options, (settings) => { setOptions(settings); paint(); });
  startHistory({
    open: (job) => { use(job); show({ ...job, step: 0 }); open("paint"); },
    use: (job) => { use(job); open("paint"); },
    deleted: (id) => { if (run.job?.id === id) leave(); },
  });
  look();
  try {
    presets = await call("GET", "/presets");
  } catch (error) {
    complain(error);
  }
  startInputs(presets.samples);
  await reopen();
  document.body.append(element("span", { id: "loaded", hidden: true }));
}

start();
