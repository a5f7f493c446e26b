// Earlier runs: open, use their settings, compare any two, clear away.

import { call, complain, element, resultUrl } from "./api.js";

const byId = (id) => document.getElementById(id);
const WORDS = { queued: "waiting", running: "painting", paused: "paused", done: "finished", cancelled: "thrown away", failed: "failed" };
const chosen = new Set();
let next = null;
let acts = null;

export function startHistory(actions) {
  acts = actions;
  byId("more").addEventListener("click", () => load(next));
  byId("compare").addEventListener("click", compare);
  byId("clean").addEventListener("click", clean);
  byId("comparison").querySelector("input").addEventListener("input", (event) => uncover(event.target.value));
}

export async function load(before = null) {
  const state = byId("history-state");
  const list = byId("jobs");
  if (before === null) {
    chosen.clear();
    list.replaceChildren();
    state.textContent = "loading";
  }
  try {
    const page = await call("GET", `/jobs?purpose=picture&limit=24${before ? `&before=${before}` : ""}`);
    list.append(...page.jobs.map(item));
    next = page.next_before;
    byId("more").hidden = next === null;
    state.textContent = list.children.length ? "" : "Nothing was painted yet. What you paint will be here, also tomorrow.";
    const health = await call("GET", "/health");
    byId("disk").textContent = `The studio keeps ${megabytes(health.disk_bytes)}; ${megabytes(health.disk_free_bytes)} are free.`;
  } catch (error) {
    state.textContent = `The history cannot be shown: ${error.message}.`;
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
  const image = element("img", { src: resultUrl(job.id, "latest"), alt: `${title}, as it was left`, loading: "lazy" });
  const regions = job.regions.length ? `${job.regions.length} region${job.regions.length > 1 ? "s" : ""}` : "";
  const several = job.styles.length > 1 ? `${job.styles.length} styles` : "";
  image.onerror = () => image.replaceWith(element("p", { class: "help" }, "no picture was kept"));
  const box = element("input", { type: "checkbox", "data-job": job.id, onchange: (event) => { event.target.checked ? chosen.add(job.id) : chosen.delete(job.id); choose(); } });
  const button = (text, act) => element("button", { type: "button", "aria-label": `${text}: ${title}`, onclick: act }, text);
  const record = element("details", {}, element("summary", {}, "Record"), element("pre", { tabindex: 0 }));
  record.addEventListener("toggle", async () => {
    if (!record.open) return;
    const whole = await call("GET", `/jobs/${job.id}`).catch((error) => ({ error: error.message }));
    record.querySelector("pre").textContent = whole.traceback || JSON.stringify(whole.record || whole.error || "no record: the run was not finished", null, 2);
  });
  const made = element("li", { "data-job": job.id }, image,
    element("strong", {}, title),
    element("span", { class: `quiet state-${job.state}` }, `${WORDS[job.state]}${job.stopped ? " early" : ""}, ${job.step} steps, ${megabytes(job.disk_bytes)}, ${when}`),
    element("span", { class: "help" }, [several, regions, job.protect ? "protected areas" : "", settings].filter(Boolean).join(", ") || "all settings as they come"),
    job.error && job.state === "failed" ? element("span", { class: "state-failed help" }, job.error) : "",
    element("div", { class: "buttons" },
      button("Open", () => acts.open(job)),
      button("Use these settings", () => acts.use(job)),
      button("Delete", () => remove(job, made))),
    element("label", { class: "help" }, box, " compare"), record);
  return made;
}

async function remove(job, place) {
  if (!window.confirm(`Delete run ${job.number} and its pictures for good? ${megabytes(job.disk_bytes)} are freed.`)) return;
  try {
    await call("DELETE", `/jobs/${job.id}`);
    place.remove();
    chosen.delete(job.id);
    choose();
    acts.deleted(job.id);
  } catch (error) {
    complain(error);
  }
}

// What goes when all is cleared away, in numbers.
function farewell(jobs) {
  const proofs = jobs.filter((job) => job.purpose === "proof").length;
  const bytes = megabytes(jobs.reduce((sum, job) => sum + job.disk_bytes, 0));
  const runs = jobs.length === 1 ? "1 run" : `${jobs.length} runs`;
  const kinds = `${proofs} of them proofs, ${jobs.length - proofs} failed or thrown away`;
  return `Clear away ${jobs.length ? `${runs} for good (${kinds}; ${bytes}), and` : "for good"} every uploaded picture that nothing uses any more?`;
}

async function clean() {
  try {
    const going = new Map(); // by id: a proof that failed is found twice
    for (const query of ["purpose=proof", "state=failed", "state=cancelled"]) {
      const { jobs } = await call("GET", `/jobs?limit=1000&${query}`);
      for (const job of jobs) if (["done", "failed", "cancelled"].includes(job.state)) going.set(job.id, job);
    }
    if (!window.confirm(farewell([...going.values()]))) return;
    for (const id of going.keys()) await call("DELETE", `/jobs/${id}`);
    await call("DELETE", "/assets");
  } catch (error) {
    complain(error);
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
  place.querySelector("p").textContent = "Left of the line is the second picture chosen, right of it the first.";
  place.hidden = false;
  uncover(place.querySelector("input").value);
  place.scrollIntoView({ block: "nearest" });
}

function uncover(share) {
  byId("comparison").querySelectorAll("img")[1].style.clipPath = `inset(0 ${100 - share}% 0 0)`;
}
