// The page: tabs, theme, controls, and what joins the parts.

import { call, complain, element } from "./api.js";
import { startBrush } from "./brush.js";
import { startExplore } from "./explore.js";
import { load, startHistory } from "./history.js";
import { onPictures, pictures, setPictures, startInputs } from "./inputs.js";
import { KEYS, hearKeys } from "./keys.js";
import { drawPlaces, parts, startPlaces, terms } from "./places.js";
import { active, duration, hush, leave, run, show, startRun } from "./run.js";

const byId = (id) => document.getElementById(id);
const TABS = ["paint", "explore", "history"];
const PATIENCE_MS = 10000;
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
  if (!steers(name)) pending();
  else if (active()) {
    steering[name] = now;
    timer ??= setTimeout(steer, STEER_MS);
  }
}

const steers = (name) => typeof options[name] === "number" && presets.options.some((one) => one.name === name && one.live);

// What does not act at once: the person starts over, or has said that it be done for them.
let repaint = null;
let own = { options: {}, parts: "" }; // what the run on the canvas was asked for

function onCanvas(job) {
  own = { options: { ...options }, parts: JSON.stringify(parts()) };
  show(job);
}

// What differs from the run on the canvas and cannot be steered, as a person would say it.
function changes() {
  const value = (set, name) => String(set[name] ?? presets.options.find((one) => one.name === name)?.default ?? (name === "recipe" ? RECIPE : ""));
  const names = [...new Set([...Object.keys(own.options), ...Object.keys(options)])]
    .filter((name) => !steers(name) && value(options, name) !== value(own.options, name))
    .map((name) => name.replaceAll("_", " "));
  const others = JSON.stringify(parts()) === own.parts ? [] : ["other pictures"];
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
  const verb = many || text === "other pictures" ? "need" : "needs";
  place.querySelector("span").textContent = `${text[0].toUpperCase()}${text.slice(1)} ${verb} a new run.`;
  if (byId("by-itself").checked) repaint = setTimeout(again, REPAINT_MS);
}

// The weight of a region's painting, while it paints.
function weighed(term, weight) {
  if (!active()) return;
  steering.terms = { ...steering.terms, [term]: weight };
  timer ??= setTimeout(steer, STEER_MS);
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
  frame?.contentWindow?.postMessage({ from: "studio", options: { recipe: RECIPE, ...all, ...values } }, location.origin);
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
    } else if (Object.values(KEYS).includes(event.data.order)) press(event.data.order);
    else if (event.data.height) frame.style.height = `${event.data.height + 24}px`;
    else if (event.data.name) turned(event.data.name, event.data.value);
  });
}

let framed = false;
let next = null;

// What is known of the server, now and then; at once where a run's events break off.
async function look() {
  clearTimeout(next);
  next = setTimeout(look, 2 * PATIENCE_MS); // replaced below by a sooner one
  const place = byId("health");
  try {
    const health = await call("GET", "/health", undefined, undefined, PATIENCE_MS);
    hush(null);
    const waiting = health.jobs.queued ? `, ${health.jobs.queued} waiting` : "";
    place.textContent = health.status === "ok" ? `ready${waiting}` : "the painter is starting";
    if (!framed && health.page === "ready") {
      framed = true;
      frame.hidden = false;
      frame.src = `/controls/?__theme=${theme()}`;
    } else if (health.page === "failed") byId("knobs-state").textContent = "The controls could not be loaded; runs use the default settings. The terminal says why.";
    else if (health.page === "off") byId("knobs-state").textContent = "The controls were switched off when the studio was started.";
    clearTimeout(next);
    next = setTimeout(look, framed && health.status === "ok" ? 5000 : 400);
  } catch (error) {
    place.textContent = error.message;
    if (error.status === 0) hush(error.message);
    clearTimeout(next);
    next = setTimeout(look, 2000);
  }
}

// Runs ---------------------------------------------------------------------------------------------------------------

async function paint(more = {}) {
  complain(null);
  byId("start").disabled = true;
  try {
    const job = await call("POST", "/jobs", { ...parts(), options: { ...options, ...more } });
    const weights = terms();
    if (Object.keys(weights).length && !more.fast) await call("PATCH", `/jobs/${job.id}`, { terms: weights });
    onCanvas(job);
    open("paint");
  } catch (error) {
    complain(error);
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
    const wanted = byId("larger-size").value;
    place.textContent = "reckoning";
    try {
      const found = await call("GET", `/jobs/${run.job.id}/estimate?long_side=${wanted}`);
      if (wanted !== byId("larger-size").value) return;
      const size = `${found.width}×${found.height} px`;
      place.textContent = found.seconds === null ? `${size}; how long it takes cannot be told from this run.`
        : `${size} in ${found.steps} steps: about ${duration(found.seconds)} on this machine.`;
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
  const known = (name) => presets.options.some((one) => one.name === name);
  const turned = Object.entries(job.steering);
  const regions = job.regions.map((region) => ({ ...region, weight: job.steering[`style:${region.name}`] ?? 1 }));
  setPictures(job.content, job.styles.map((style) => ({ ...style })), regions, job.protect);
  const { fast, ...settings } = job.options; // painting at once is a button's, not a setting that stays
  setOptions({ ...settings, ...Object.fromEntries(turned.filter(([name]) => known(name))) });
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

// A tab that shows no run yet joins the newest one that paints, or else one that is held or waits.
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
    complain(error);
  }
}

// A key was pressed; what lies behind an open dialog is left alone.
function press(name) {
  if (!document.querySelector("dialog[open]")) byId(name).click();
}

async function start() {
  startTabs();
  startTheme();
  startControls();
  startRun(look);
  startBrush();
  startLarger();
  onPictures((turnedByHand) => {
    drawPlaces();
    ready();
    if (turnedByHand) pending();
  });
  byId("by-itself").checked = localStorage.getItem("by-itself") === "yes";
  byId("by-itself").addEventListener("change", (event) => {
    localStorage.setItem("by-itself", event.target.checked ? "yes" : "no");
    if (event.target.checked && !byId("pending").hidden) again();
  });
  byId("start").addEventListener("click", () => again());
  byId("instant").addEventListener("click", () => again({ fast: true }));
  byId("again").addEventListener("click", () => again());
  for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
  hearKeys(press);
  startExplore(() => options, (settings) => { setOptions(settings); paint(); });
  startHistory({
    open: (job) => { use(job); onCanvas({ ...job, step: 0 }); open("paint"); },
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
  startPlaces(presets.samples, weighed);
  byId("instant").title = presets.instant ? "One quick pass in any style, without steps" : "Instant mode needs: impasto weights fetch adain";
  await reopen();
  if (!run.job) await join();
  document.body.append(element("span", { id: "loaded", hidden: true }));
}

start();
