// One run on the canvas: its events, its pictures, its buttons.

import { assetUrl, call, complain, element, follow, resultUrl } from "./api.js";
import { Curves } from "./curves.js";

const byId = (id) => document.getElementById(id);
const OVER = ["done", "cancelled", "failed"];
const WORDS = { queued: "waiting", running: "painting", paused: "paused", done: "finished", cancelled: "thrown away", failed: "failed" };

export const run = { job: null, kept: [], scale: null, seconds: null, pausing: false };
const KEEPSAKE_MS = 400;
let curves = null;
let unfollow = null;
let wanted = null;
let loading = false;
let lastStep = null;
let lost = null;
let silent = null;

// Say that the server does not answer, or, with null, that it does again.
export function hush(message) {
  if (silent === message) return;
  silent = message;
  refresh();
}

export const active = () => run.job !== null && !OVER.includes(run.job.state);

export function show(job) {
  unfollow?.();
  Object.assign(run, { job, kept: [], scale: null, seconds: null, pausing: false });
  lastStep = null;
  curves.clear();
  forget();
  byId("canvas-error").hidden = true;
  byId("picture").hidden = true;
  byId("canvas-empty").hidden = false;
  byId("canvas-empty").textContent = "The first picture is on its way.";
  byId("before").src = assetUrl(job.content);
  byId("pending").hidden = true;
  location.hash = job.id;
  const mine = job.id;
  unfollow = follow(job.id, (kind, data) => { if (run.job?.id === mine) hear(kind, data); }, lost);
  refresh();
}

export function leave() {
  unfollow?.();
  Object.assign(run, { job: null, kept: [], scale: null, seconds: null, pausing: false });
  location.hash = "";
  byId("picture").hidden = true;
  byId("before").hidden = true;
  forget();
  byId("canvas-empty").hidden = false;
  byId("canvas-empty").textContent = "The run was deleted. Give two pictures and press Paint.";
  refresh();
}

function hear(kind, data) {
  const { job } = run;
  if (kind === "state") {
    job.state = data.state;
    if (run.pausing && data.state !== "running") run.pausing = false;
    if (data.error) job.error = data.error;
    if (data.state === "queued") call("GET", `/jobs/${job.id}`).then((now) => { job.queue_position = now.queue_position; refresh(); }).catch(() => {});
  } else if (kind === "planned") job.total_steps = data.total_steps;
  else if (kind === "scale") [run.scale, lastStep, run.seconds] = [data, null, null];
  else if (kind === "resumed") {
    job.step = data.step;
    curves.cut(data.step);
    run.kept = run.kept.filter((one) => one.step <= data.step);
  } else if (kind === "step") step(data);
  else if (kind === "snapshot") keep(data.step, "snapshot");
  else if (kind === "steered" && data.command === "set") curves.mark(data.step, data.values);
  else if (kind === "warned") complain(new Error(data.message));
  else if (kind === "finished") {
    job.step = data.step;
    job.stopped = data.stopped;
    keep(data.step, "final");
  } else if (kind === "deleted") { leave(); return; }
  refresh();
}

function step(data) {
  const now = data.at; // the worker's own clock: a run that is opened again tells its steps all at once
  if (lastStep !== null && now > lastStep) {
    const took = now - lastStep;
    run.seconds = run.seconds === null ? took : run.seconds * 0.8 + took * 0.2;
  }
  lastStep = now;
  run.job.step = data.step;
  curves.add(data.step, data.losses);
  if (data.picture) keep(data.step, "preview");
}

function keep(step, kind) {
  const scrub = byId("scrub");
  const live = Number(scrub.value) >= run.kept.length - 1;
  run.kept.push({ step, kind });
  scrub.max = run.kept.length - 1;
  if (live) {
    scrub.value = scrub.max;
    look();
  }
}

// A preview that is kept no more, as long runs keep every second one: the slider passes it over.
function passOver(picture) {
  const place = run.kept.indexOf(picture);
  if (place < 0 || run.kept.length < 2) return;
  run.kept.splice(place, 1);
  const scrub = byId("scrub");
  const chosen = Number(scrub.value);
  scrub.max = run.kept.length - 1;
  scrub.value = chosen > place ? chosen - 1 : Math.min(chosen, run.kept.length - 1);
  wanted = run.kept[Number(scrub.value)];
  refresh();
}

// Show the chosen step; while one picture loads the ones between are passed over.
function look() {
  wanted = run.kept[Number(byId("scrub").value)] || null;
  if (!wanted || loading || !run.job) return;
  const showing = wanted;
  const job = run.job.id;
  const next = new Image();
  loading = true;
  const done = (worked) => {
    loading = false;
    if (worked && run.job?.id === job) {
      const picture = byId("picture");
      picture.src = next.src;
      picture.hidden = false;
      picture.dataset.step = showing.step;
      byId("before").hidden = false;
      byId("canvas-empty").hidden = true;
    }
    if (!worked && run.job?.id === job) passOver(showing);
    if (wanted !== showing) look();
  };
  next.onload = () => done(true);
  next.onerror = () => done(false);

  next.src = resultUrl(job, showing.step, `?kind=${showing.kind}`);
}

export function refresh() {
  const { job } = run;
  const state = job?.state;
  const going = active();
  byId("pause").disabled = !going || state === "queued" || run.pausing;
  byId("pause").textContent = run.pausing ? "pausing …" : (state === "paused" ? "Resume" : "Pause");
  byId("stop").disabled = !going || !job.step;
  byId("cancel").disabled = !going;
  byId("large").disabled = state !== "done";
  for (const kind of ["film", "report"]) byId(kind).disabled = state !== "done" || making?.kind === kind;
  const download = byId("download");
  const ready = run.kept.length > 0;
  download.setAttribute("aria-disabled", String(!ready));
  if (ready) download.href = resultUrl(job.id, state === "done" ? "final" : "latest", "?download=true");
  else download.removeAttribute("href");
  byId("split").disabled = !ready;
  byId("scrub").disabled = run.kept.length < 2;
  const chosen = run.kept[Number(byId("scrub").value)];
  byId("scrub-out").textContent = chosen ? (chosen.step ? `step ${chosen.step}` : "instant picture") : "no step yet";
  byId("progress").value = job?.total_steps ? job.step / job.total_steps : 0;
  byId("status").textContent = job ? sentence(job) : "Nothing is painted yet.";
  byId("status").dataset.state = state || "none";
  byId("canvas-error").hidden = state !== "failed";
  if (state === "failed") {
    byId("canvas-error").textContent = `The run failed: ${job.error || "see the history"}.`;
    byId("canvas-empty").hidden = true;
  }
  if (state === "cancelled" && !run.kept.length) byId("canvas-empty").textContent = "This run was thrown away before it had a picture.";
}

function sentence(job) {
  if (silent && active()) return `Run ${job.number}: ${silent}${job.step ? ` It was at step ${job.step}.` : ""}`;
  const parts = [`Run ${job.number}: ${run.pausing ? "pausing …" : WORDS[job.state]}`];
  if (job.state === "queued" && job.queue_position) parts.push(`${job.queue_position} before it`);
  if (job.step) parts.push(`step ${job.step}${job.total_steps ? ` of ${job.total_steps}` : ""}`);
  if (job.state === "running" && run.scale) parts.push(`at ${run.scale.width}×${run.scale.height}`);
  if (job.state === "running" && !run.pausing && run.seconds !== null && job.total_steps) {
    parts.push(`about ${duration((job.total_steps - job.step) * run.seconds)} left`);
  }
  if (job.stopped) parts.push("stopped early");
  return `${parts.join(", ")}.`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// Have the film or the report made, wait until it is there, and hand it over as a file.
let making = null;
let advice = ""; // what the page says of film and report while none is asked for

// What was made of one run says nothing of the next.
function forget() {
  making = null;
  byId("export-help").textContent = advice;
}

async function keepsake(kind) {
  const { job } = run;
  const path = `/jobs/${job.id}/exports/${kind}`;
  const mine = { kind };
  const tell = (text) => { if (making === mine) byId("export-help").textContent = text; };
  making = mine;
  refresh();
  try {
    let now = await call("POST", path);
    while (["waiting", "making"].includes(now.state)) {
      tell(now.state === "waiting" ? `The ${kind} waits for the painter.` : `The ${kind} is being made.`);
      await new Promise((resolve) => setTimeout(resolve, KEEPSAKE_MS));
      now = await call("GET", path);
    }
    tell(now.state === "ready" ? `The ${kind} is ready.` : `The ${kind} cannot be made: ${now.error}.`);
    if (now.state === "ready") element("a", { href: `/api/v1${path}/file`, download: "" }).click();
  } catch (error) {
    tell(error.message);
  }
  if (making === mine) making = null;
  refresh();
}

const order = (name) => async () => {
  try {
    // What comes of it is told by the events; the answer may be older than they are.
    await call("POST", `/jobs/${run.job.id}/${name}`);
    complain(null);
    refresh();
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
};

// A step may take its time: that the wish was heard is told before it ends.
async function pause() {
  const { job } = run;
  if (job.state === "paused") {
    await order("resume")();
    return;
  }
  run.pausing = true;
  refresh();
  if (!(await order("pause")()) && run.job === job) {
    run.pausing = false;
    refresh();
  }
}

export function startRun(onLost) {
  lost = onLost;
  advice = byId("export-help").textContent;
  curves = new Curves(byId("curves"));
  byId("pause").addEventListener("click", pause);
  byId("stop").addEventListener("click", order("stop"));
  byId("cancel").addEventListener("click", order("cancel"));
  for (const kind of ["film", "report"]) byId(kind).addEventListener("click", () => keepsake(kind));
  byId("scrub").addEventListener("input", () => { look(); refresh(); });
  byId("split").addEventListener("input", (event) => {
    byId("before").style.clipPath = `inset(0 ${100 - event.target.value}% 0 0)`;
  });
}
