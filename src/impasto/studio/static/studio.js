// The page: tabs, theme, controls, and the connections between the modules.

import { call } from "./api.js";
import { drawRegions, jobPictures, regionWeights, startRegions } from "./regions.js";
import { startBrush } from "./brush.js";
import { byId, element, showError } from "./dom.js";
import { startExplore } from "./explore.js";
import { load, startHistory } from "./history.js";
import { onPictures, pictures, setPictures, startInputs } from "./inputs.js";
import { KEYS, listenForKeys } from "./keys.js";
import { active, clearRun, duration, run, setOffline, show, startRun } from "./run.js";

const TABS = ["paint", "explore", "history"];
const HEALTH_TIMEOUT_MS = 10000;
const STEER_MS = 80;
const REPAINT_MS = 800;
const RECIPE = "impasto";
const options = {};
let presets = { options: [], recipes: [], samples: [], instant: false };
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
  const choice = byId("theme").value;
  return choice === "auto" ? (system.matches ? "dark" : "light") : choice;
};

function applyTheme() {
  document.documentElement.dataset.theme = theme();
  frame?.contentWindow?.postMessage({ from: "studio", theme: theme() }, location.origin);
}

function startTheme() {
  byId("theme").value = localStorage.getItem("theme") || "auto";
  byId("theme").addEventListener("change", () => { localStorage.setItem("theme", byId("theme").value); applyTheme(); });
  system.addEventListener("change", applyTheme);
  applyTheme();
}

// Controls -----------------------------------------------------------------------------------------------------------

function parseValue(name, value) {
  const option = presets.options.find((candidate) => candidate.name === name);
  if (!option || value === "") return value === "" ? undefined : value;
  if (option.type === "int" || option.type === "float") {
    const number = Number(value);
    return Number.isFinite(number) ? number : value;
  }
  return value;
}

let steering = {};
let timer = null;

function optionChanged(name, value) {
  const now = parseValue(name, value);
  if (options[name] === now) return;
  if (now === undefined) delete options[name];
  else options[name] = now;
  if (name === "recipe") showRecipe(now);
  if (!steers(name)) pending();
  else if (active()) {
    steering[name] = now;
    timer ??= setTimeout(steer, STEER_MS);
  }
}

const steers = (name) => typeof options[name] === "number" && presets.options.some((option) => option.name === name && option.live);

// A setting that does not apply during a run needs a new run, started by the user or automatically.
let repaint = null;
let current = { options: {}, pictures: "" }; // of the run on the canvas

function onCanvas(job) {
  current = { options: { ...options }, pictures: JSON.stringify(jobPictures()) };
  show(job);
}

// The settings that differ from the run on the canvas and cannot be steered, in words.
function changes() {
  const value = (set, name) => String(set[name] ?? presets.options.find((option) => option.name === name)?.default ?? (name === "recipe" ? RECIPE : ""));
  const names = [...new Set([...Object.keys(current.options), ...Object.keys(options)])]
    .filter((name) => !steers(name) && value(options, name) !== value(current.options, name))
    .map((name) => name.replaceAll("_", " "));
  const others = JSON.stringify(jobPictures()) === current.pictures ? [] : ["different images"];
  return { many: others.length + names.length > 1, list: [...others, ...names.map((name, index) => (index ? name : `a new ${name}`))] };
}

function pending() {
  const place = byId("pending");
  if (!active() && place.hidden) return;
  const { list, many } = changes();
  clearTimeout(repaint);
  place.hidden = !list.length;
  if (!list.length) return;
  const text = many ? `${list.slice(0, -1).join(", ")} and ${list.at(-1)}` : list[0];
  const verb = many || text === "different images" ? "need" : "needs";
  place.querySelector("span").textContent = `${text[0].toUpperCase()}${text.slice(1)} ${verb} a new run.`;
  if (byId("auto-repaint").checked) repaint = setTimeout(again, REPAINT_MS);
}

// Steer the weight of a region's painting during the run.
function weightChanged(term, weight) {
  if (!active()) return;
  steering.terms = { ...steering.terms, [term]: weight };
  timer ??= setTimeout(steer, STEER_MS);
}

function showRecipe(name) {
  const recipe = presets.recipes.find((entry) => entry.name === name);
  if (recipe) byId("settings-state").textContent = `${recipe.name}: ${recipe.summary} (${recipe.source}).`;
}

async function steer() {
  const values = steering;
  [steering, timer] = [{}, null];
  try {
    Object.assign(run.job, { steering: (await call("PATCH", `/jobs/${run.job.id}`, values)).steering });
    showError(null);
  } catch (error) {
    showError(error);
  }
}

function setOptions(values) {
  for (const name of Object.keys(options)) delete options[name];
  Object.assign(options, values);
  const all = Object.fromEntries(presets.options.map((option) => [option.name, option.default]));
  frame?.contentWindow?.postMessage({ from: "studio", options: { recipe: RECIPE, ...all, ...values } }, location.origin);
}

function startControls() {
  frame = byId("controls");
  window.addEventListener("message", (event) => {
    if (event.origin !== location.origin || event.data?.from !== "controls") return;
    if (event.data.ready) {
      frame.hidden = false;
      byId("settings-state").textContent = "Settings marked as live change the run on the canvas while it paints.";
      applyTheme();
      setOptions({ ...options });
    } else if (Object.values(KEYS).includes(event.data.command)) press(event.data.command);
    else if (event.data.height) frame.style.height = `${event.data.height + 24}px`;
    else if (event.data.name) optionChanged(event.data.name, event.data.value);
  });
}

let framed = false;
let next = null;

// Ask for the server's health from time to time, and immediately when a run's events break off.
async function pollHealth() {
  clearTimeout(next);
  next = setTimeout(pollHealth, 2 * HEALTH_TIMEOUT_MS); // replaced below by a sooner one
  const place = byId("health");
  try {
    const health = await call("GET", "/health", undefined, undefined, HEALTH_TIMEOUT_MS);
    setOffline(null);
    const waiting = health.jobs.queued ? `${health.jobs.queued} queued` : "Ready";
    place.textContent = health.status === "ok" ? waiting : "Starting the worker";
    if (!framed && health.page === "ready") {
      framed = true;
      frame.hidden = false;
      frame.src = `/controls/?__theme=${theme()}`;
    } else if (health.page === "failed") byId("settings-state").textContent = "The controls could not be loaded, so runs use the default settings. See the terminal for the error.";
    else if (health.page === "off") byId("settings-state").textContent = "The controls are turned off.";
    clearTimeout(next);
    next = setTimeout(pollHealth, framed && health.status === "ok" ? 5000 : 400);
  } catch (error) {
    place.textContent = error.message;
    if (error.status === 0) setOffline(error.message);
    clearTimeout(next);
    next = setTimeout(pollHealth, 2000);
  }
}

// Runs ---------------------------------------------------------------------------------------------------------------

async function paint(more = {}) {
  showError(null);
  byId("start").disabled = true;
  try {
    const job = await call("POST", "/jobs", { ...jobPictures(), options: { ...options, ...more } });
    const weights = regionWeights();
    if (Object.keys(weights).length && !more.fast) await call("PATCH", `/jobs/${job.id}`, { terms: weights });
    onCanvas(job);
    open("paint");
  } catch (error) {
    showError(error);
  } finally {
    ready();
  }
}

function ready() {
  const able = pictures.content && (pictures.styles.length || pictures.regions.length);
  byId("start").disabled = !able;
  byId("instant").disabled = !able || !presets.instant;
}

async function again(more = {}) {
  clearTimeout(repaint);
  if (active()) await call("POST", `/jobs/${run.job.id}/cancel`).catch(() => {});
  paint(more);
}

function startLarger() {
  const dialog = byId("larger");
  const guess = async () => {
    const place = byId("larger-time");
    const requested = byId("larger-size").value;
    place.textContent = "Estimating";
    try {
      const found = await call("GET", `/jobs/${run.job.id}/estimate?long_side=${requested}`);
      if (requested !== byId("larger-size").value) return;
      const size = `${found.width}×${found.height} px`;
      place.textContent = found.seconds === null ? `${size}. This run has no timing to estimate from.`
        : `${size}, ${found.steps} steps: about ${duration(found.seconds)} on this computer.`;
    } catch (error) {
      place.textContent = error.message;
    }
  };
  byId("large").addEventListener("click", () => { guess(); dialog.showModal(); });
  byId("larger-size").addEventListener("change", guess);
  byId("larger-go").addEventListener("click", () => {
    dialog.close();
    use(run.job);
    const { fast } = run.job.options;
    paint({ size: byId("larger-size").value, ...(fast ? { fast } : {}) });
  });
}

function use(job) {
  const known = (name) => presets.options.some((option) => option.name === name);
  const steered = Object.entries(job.steering);
  const regions = job.regions.map((region) => ({ ...region, weight: job.steering[`style:${region.name}`] ?? 1 }));
  setPictures(job.content, job.styles.map((style) => ({ ...style })), regions, job.protect);
  const { fast, ...settings } = job.options; // the instant preview is a button, not a setting to keep
  setOptions({ ...settings, ...Object.fromEntries(steered.filter(([name]) => known(name))) });
}

async function reopen() {
  const id = location.hash.slice(1);
  if (!/^[0-9a-f]{16}$/.test(id)) return;
  try {
    const job = await call("GET", `/jobs/${id}`);
    use(job);
    onCanvas({ ...job, step: 0 });
  } catch {
    location.hash = "";
  }
}

// A tab without a run shows the newest one that is painting, or else one that is paused or queued.
async function join() {
  try {
    for (const state of ["running", "paused", "queued"]) {
      const { jobs: [job] } = await call("GET", `/jobs?purpose=picture&limit=1&state=${state}`);
      if (run.job || pictures.content || pictures.styles.length) return;
      if (!job) continue;
      use(job);
      onCanvas({ ...job, step: 0 });
      return;
    }
  } catch (error) {
    showError(error);
  }
}

// Handle a shortcut, unless a dialog is open.
function press(name) {
  if (!document.querySelector("dialog[open]")) byId(name).click();
}

async function start() {
  startTabs();
  startTheme();
  startControls();
  startRun(pollHealth);
  startBrush();
  startLarger();
  onPictures((byUser) => {
    drawRegions();
    ready();
    if (byUser) pending();
  });
  byId("auto-repaint").checked = localStorage.getItem("auto-repaint") === "yes";
  byId("auto-repaint").addEventListener("change", (event) => {
    localStorage.setItem("auto-repaint", event.target.checked ? "yes" : "no");
    if (event.target.checked && !byId("pending").hidden) again();
  });
  byId("start").addEventListener("click", () => again());
  byId("instant").addEventListener("click", () => again({ fast: true }));
  byId("again").addEventListener("click", () => again());
  for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
  listenForKeys(press);
  startExplore(() => options, (settings) => { setOptions(settings); paint(); });
  startHistory({
    open: (job) => { use(job); onCanvas({ ...job, step: 0 }); open("paint"); },
    use: (job) => { use(job); open("paint"); },
    deleted: (id) => { if (run.job?.id === id) clearRun(); },
  });
  pollHealth();
  try {
    presets = await call("GET", "/presets");
  } catch (error) {
    showError(error);
  }
  startInputs(presets.samples);
  startRegions(presets.samples, weightChanged);
  byId("instant").title = presets.instant ? "One quick pass, without optimization steps" : "Needs its weights: run impasto weights fetch adain";
  await reopen();
  if (!run.job) await join();
  document.body.append(element("span", { id: "loaded", hidden: true }));
}

start();
