// One run on the canvas: its events, its images, its buttons.

import { assetUrl, call, follow, resultUrl } from "./api.js";
import { Curves } from "./curves.js";
import { OVER, STATE_LABELS, byId, element, showError } from "./dom.js";

export const run = { job: null, kept: [], scale: null, seconds: null, pausing: false };
const EXPORT_POLL_MS = 400;
let curves = null;
let unfollow = null;
let selected = null;
let loading = false;
let lastStep = null;
let lost = null;
let offlineMessage = null;

// Show that the server does not respond; null means that it responds again.
export function setOffline(message) {
  if (offlineMessage === message) return;
  offlineMessage = message;
  refresh();
}

export const active = () => run.job !== null && !OVER.includes(run.job.state);

export function show(job) {
  unfollow?.();
  Object.assign(run, { job, kept: [], scale: null, seconds: null, pausing: false });
  lastStep = null;
  curves.clear();
  resetExport();
  byId("canvas-error").hidden = true;
  byId("picture").hidden = true;
  byId("canvas-empty").hidden = false;
  byId("canvas-empty").textContent = "Waiting for the first image.";
  byId("before").src = assetUrl(job.content);
  byId("pending").hidden = true;
  location.hash = job.id;
  const mine = job.id;
  unfollow = follow(job.id, (kind, data) => { if (run.job?.id === mine) handleEvent(kind, data); }, lost);
  refresh();
}

export function clearRun() {
  unfollow?.();
  Object.assign(run, { job: null, kept: [], scale: null, seconds: null, pausing: false });
  location.hash = "";
  byId("picture").hidden = true;
  byId("before").hidden = true;
  resetExport();
  byId("canvas-empty").hidden = false;
  byId("canvas-empty").textContent = "The run was deleted. Add a photo and a painting, then press Paint.";
  refresh();
}

function handleEvent(kind, data) {
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
    run.kept = run.kept.filter((picture) => picture.step <= data.step);
  } else if (kind === "step") step(data);
  else if (kind === "snapshot") keep(data.step, "snapshot");
  else if (kind === "steered" && data.command === "set") curves.mark(data.step, data.values);
  else if (kind === "warned") showError(new Error(data.message));
  else if (kind === "finished") {
    job.step = data.step;
    job.stopped = data.stopped;
    keep(data.step, "final");
  } else if (kind === "deleted") { clearRun(); return; }
  refresh();
}

function step(data) {
  const now = data.at; // the worker's clock: when a run is opened again, all its steps arrive together
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
    showSelected();
  }
}

// Remove a preview that has been deleted (long runs keep every second one) from the slider.
function dropPreview(picture) {
  const place = run.kept.indexOf(picture);
  if (place < 0 || run.kept.length < 2) return;
  run.kept.splice(place, 1);
  const scrub = byId("scrub");
  const chosen = Number(scrub.value);
  scrub.max = run.kept.length - 1;
  scrub.value = chosen > place ? chosen - 1 : Math.min(chosen, run.kept.length - 1);
  selected = run.kept[Number(scrub.value)];
  refresh();
}

// Show the selected step; while one image loads, the ones in between are skipped.
function showSelected() {
  selected = run.kept[Number(byId("scrub").value)] || null;
  if (!selected || loading || !run.job) return;
  const showing = selected;
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
    if (!worked && run.job?.id === job) dropPreview(showing);
    if (selected !== showing) showSelected();
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
  byId("pause").textContent = run.pausing ? "Pausing …" : (state === "paused" ? "Resume" : "Pause");
  byId("stop").disabled = !going || !job.step;
  byId("cancel").disabled = !going;
  byId("large").disabled = state !== "done";
  for (const kind of ["film", "report"]) byId(kind).disabled = state !== "done" || exporting?.kind === kind;
  const download = byId("download");
  const ready = run.kept.length > 0;
  download.setAttribute("aria-disabled", String(!ready));
  if (ready) download.href = resultUrl(job.id, state === "done" ? "final" : "latest", "?download=true");
  else download.removeAttribute("href");
  byId("split").disabled = !ready;
  byId("scrub").disabled = run.kept.length < 2;
  const chosen = run.kept[Number(byId("scrub").value)];
  byId("scrub-out").textContent = chosen ? (chosen.step ? `Step ${chosen.step}` : "Instant preview") : "No step yet";
  byId("progress").value = job?.total_steps ? job.step / job.total_steps : 0;
  byId("status").textContent = job ? sentence(job) : "Nothing painted yet.";
  byId("status").dataset.state = state || "none";
  byId("canvas-error").hidden = state !== "failed";
  if (state === "failed") {
    byId("canvas-error").textContent = `The run failed: ${job.error || "see the history for details"}.`;
    byId("canvas-empty").hidden = true;
  }
  if (state === "canceled" && !run.kept.length) byId("canvas-empty").textContent = "This run was canceled before it had an image.";
}

function sentence(job) {
  if (offlineMessage && active()) return `Run ${job.number}: ${offlineMessage}${job.step ? ` It was at step ${job.step}.` : ""}`;
  const parts = [`Run ${job.number}: ${run.pausing ? "pausing …" : STATE_LABELS[job.state]}`];
  if (job.state === "queued" && job.queue_position) parts.push(`${job.queue_position} ahead in the queue`);
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

// Request the timelapse or the report, wait until it is ready, and download it.
let exporting = null;
let exportHelp = ""; // the text of the page while no export is under way

// The state of one run's export says nothing about the next run.
function resetExport() {
  exporting = null;
  byId("export-help").textContent = exportHelp;
}

async function exportRun(kind) {
  const { job } = run;
  const path = `/jobs/${job.id}/exports/${kind}`;
  const mine = { kind };
  const label = kind === "film" ? "timelapse" : kind;
  const report = (text) => { if (exporting === mine) byId("export-help").textContent = text; };
  exporting = mine;
  refresh();
  try {
    let now = await call("POST", path);
    while (["waiting", "making"].includes(now.state)) {
      report(now.state === "waiting" ? `The ${label} is queued.` : `Creating the ${label}.`);
      await new Promise((resolve) => setTimeout(resolve, EXPORT_POLL_MS));
      now = await call("GET", path);
    }
    report(now.state === "ready" ? `The ${label} is ready.` : `Could not create the ${label}: ${now.error}`);
    if (now.state === "ready") element("a", { href: `/api/v1${path}/file`, download: "" }).click();
  } catch (error) {
    report(error.message);
  }
  if (exporting === mine) exporting = null;
  refresh();
}

const command = (name) => async () => {
  try {
    // The result arrives as an event; this response may be older than the latest event.
    await call("POST", `/jobs/${run.job.id}/${name}`);
    showError(null);
    refresh();
    return true;
  } catch (error) {
    showError(error);
    return false;
  }
};

// A step may take a while, so the button changes before the worker has paused.
async function pause() {
  const { job } = run;
  if (job.state === "paused") {
    await command("resume")();
    return;
  }
  run.pausing = true;
  refresh();
  if (!(await command("pause")()) && run.job === job) {
    run.pausing = false;
    refresh();
  }
}

export function startRun(onLost) {
  lost = onLost;
  exportHelp = byId("export-help").textContent;
  curves = new Curves(byId("curves"));
  byId("pause").addEventListener("click", pause);
  byId("stop").addEventListener("click", command("stop"));
  byId("cancel").addEventListener("click", command("cancel"));
  for (const kind of ["film", "report"]) byId(kind).addEventListener("click", () => exportRun(kind));
  byId("scrub").addEventListener("input", () => { showSelected(); refresh(); });
  byId("split").addEventListener("input", (event) => {
    byId("before").style.clipPath = `inset(0 ${100 - event.target.value}% 0 0)`;
  });
}
