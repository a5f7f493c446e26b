// Earlier runs: open them, use their settings, compare two, delete them.

import { call, resultUrl } from "./api.js";
import { OVER, STATE_LABELS, byId, element, showError } from "./dom.js";

const chosen = new Set();
let next = null;
let callbacks = null;

export function startHistory(actions) {
  callbacks = actions;
  byId("more").addEventListener("click", () => load(next));
  byId("compare").addEventListener("click", compare);
  byId("clean").addEventListener("click", clean);
  byId("comparison").querySelector("input").addEventListener("input", (event) => reveal(event.target.value));
}

export async function load(before = null) {
  const state = byId("history-state");
  const list = byId("jobs");
  if (before === null) {
    chosen.clear();
    list.replaceChildren();
    state.textContent = "Loading";
  }
  try {
    const page = await call("GET", `/jobs?purpose=picture&limit=24${before ? `&before=${before}` : ""}`);
    list.append(...page.jobs.map(item));
    next = page.next_before;
    byId("more").hidden = next === null;
    state.textContent = list.children.length ? "" : "Nothing painted yet. Your images will appear here and are kept across restarts.";
    const health = await call("GET", "/health");
    byId("disk").textContent = `${megabytes(health.disk_bytes)} used, ${megabytes(health.disk_free_bytes)} free.`;
  } catch (error) {
    state.textContent = `Could not load the history: ${error.message}`;
  }
  choose();
}

const megabytes = (bytes) => {
  if (bytes > 2e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes > 2e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
};

function item(job) {
  const title = `Run ${job.number}`;
  const when = new Date(job.created * 1000).toLocaleString();
  const settings = Object.entries({ ...job.options, ...job.steering }).map(([name, value]) => `${name} ${value}`).join(", ");
  const image = element("img", { src: resultUrl(job.id, "latest"), alt: `Latest image of ${title}`, loading: "lazy" });
  const regions = job.regions.length ? `${job.regions.length} region${job.regions.length > 1 ? "s" : ""}` : "";
  const several = job.styles.length > 1 ? `${job.styles.length} paintings` : "";
  image.onerror = () => image.replaceWith(element("p", { class: "help" }, "No image"));
  const box = element("input", { type: "checkbox", "data-job": job.id, onchange: (event) => { event.target.checked ? chosen.add(job.id) : chosen.delete(job.id); choose(); } });
  const button = (text, act) => element("button", { type: "button", "aria-label": `${text}: ${title}`, onclick: act }, text);
  const record = element("details", {}, element("summary", {}, "Record"), element("pre", { tabindex: 0 }));
  record.addEventListener("toggle", async () => {
    if (!record.open) return;
    const whole = await call("GET", `/jobs/${job.id}`).catch((error) => ({ error: error.message }));
    record.querySelector("pre").textContent = whole.traceback || JSON.stringify(whole.record || whole.error || "No record: the run did not finish.", null, 2);
  });
  const entry = element("li", { "data-job": job.id }, image,
    element("strong", {}, title),
    element("span", { class: `quiet state-${job.state}` }, `${STATE_LABELS[job.state]}${job.stopped ? " early" : ""}, ${job.step} steps, ${megabytes(job.disk_bytes)}, ${when}`),
    element("span", { class: "help" }, [several, regions, job.protect ? "protected area" : "", settings].filter(Boolean).join(", ") || "default settings"),
    job.error && job.state === "failed" ? element("span", { class: "state-failed help" }, job.error) : "",
    element("div", { class: "buttons" },
      button("Open", () => callbacks.open(job)),
      button("Use these settings", () => callbacks.use(job)),
      button("Delete", () => remove(job, entry))),
    element("label", { class: "help" }, box, " Compare"), record);
  return entry;
}

async function remove(job, entry) {
  if (!window.confirm(`Delete run ${job.number} and its images permanently? This frees ${megabytes(job.disk_bytes)}.`)) return;
  try {
    await call("DELETE", `/jobs/${job.id}`);
    entry.remove();
    chosen.delete(job.id);
    choose();
    callbacks.deleted(job.id);
  } catch (error) {
    showError(error);
  }
}

// The question before a clean-up, with what it would delete.
function cleanUpQuestion(jobs) {
  const proofs = jobs.filter((job) => job.purpose === "proof").length;
  const bytes = megabytes(jobs.reduce((sum, job) => sum + job.disk_bytes, 0));
  const runs = jobs.length === 1 ? "1 run" : `${jobs.length} runs`;
  const kinds = `${proofs} variations, ${jobs.length - proofs} failed or canceled`;
  return `Permanently delete ${jobs.length ? `${runs} (${kinds}; ${bytes}) and ` : ""}all uploaded images that no run uses?`;
}

async function clean() {
  try {
    const deleted = new Map(); // by id: a variation that failed is listed twice
    for (const query of ["purpose=proof", "state=failed", "state=canceled"]) {
      const { jobs } = await call("GET", `/jobs?limit=1000&${query}`);
      for (const job of jobs) if (OVER.includes(job.state)) deleted.set(job.id, job);
    }
    if (!window.confirm(cleanUpQuestion([...deleted.values()]))) return;
    for (const id of deleted.keys()) await call("DELETE", `/jobs/${id}`);
    await call("DELETE", "/assets");
  } catch (error) {
    showError(error);
  }
  load();
}

function choose() {
  byId("compare").disabled = chosen.size !== 2;
  if (chosen.size !== 2) byId("comparison").hidden = true;
}

function compare() {
  const place = byId("comparison");
  const images = place.querySelectorAll("img");
  [...chosen].forEach((id, index) => { images[index].src = resultUrl(id, "latest"); });
  place.querySelector("p").textContent = "Left: the run selected second. Right: the run selected first.";
  place.hidden = false;
  reveal(place.querySelector("input").value);
  place.scrollIntoView({ block: "nearest" });
}

function reveal(share) {
  byId("comparison").querySelectorAll("img")[1].style.clipPath = `inset(0 ${100 - share}% 0 0)`;
}
