// A sheet of small proofs over the tradeoff; choosing one goes on from its settings.

import { call, complain, element, resultUrl } from "./api.js";
import { pictures } from "./inputs.js";
import { parts } from "./places.js";

const byId = (id) => document.getElementById(id);
const LOOK_MS = 700;
const MOST_CELLS = 25;
const PROOF = { size: "160", steps: 40 };
const MOST_ZOOM = 2;
let sheet = 0;

const numbers = (id) => byId(id).value.split(/[,\s]+/).filter(Boolean).map(Number);

export function startExplore(options, choose) {
  byId("sheet-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(null);
    const mine = ++sheet;
    const [strengths, scales] = [numbers("sheet-strengths"), numbers("sheet-scales")];
    const state = byId("sheet-state");
    if (!pictures.content || !(pictures.styles.length || pictures.regions.length)) {
      state.textContent = "A sheet needs a content and a style: give them under Paint.";
      return;
    }
    if (![...strengths, ...scales].every(Number.isFinite) || !strengths.length || !scales.length || strengths.length * scales.length > MOST_CELLS) {
      state.textContent = `Give numbers with commas between them, at most ${MOST_CELLS} proofs in all.`;
      return;
    }
    const grid = byId("sheet");
    grid.style.gridTemplateColumns = `repeat(${scales.length}, minmax(0, calc(var(--cell, 320px) + .8rem + 2px)))`;
    grid.style.removeProperty("--cell");
    grid.replaceChildren();
    state.textContent = "The proofs are being queued.";
    const cells = [];
    try {
      for (const strength of strengths) {
        for (const style_scale of scales) {
          const settings = { ...options(), strength, style_scale };
          const cell = draw(settings, choose);
          grid.append(cell.button);
          cell.job = await call("POST", "/jobs", { ...parts(), purpose: "proof", options: { ...settings, ...PROOF, time: undefined } });
          cells.push(cell);
        }
      }
    } catch (error) {
      complain(error);
      state.textContent = cells.length ? "Not all proofs could be queued." : "No proof could be queued.";
    }
    if (cells.length) watch(mine, cells, state);
  });
}

function draw(settings, choose) {
  const label = `strength ${settings.strength}, style scale ${settings.style_scale}`;
  // A proof is small and is shown at most twice as large; its column is as wide as that.
  const image = element("img", { alt: "", onload: () => {
    const widest = `${MOST_ZOOM * image.naturalWidth}px`;
    image.style.maxWidth = widest;
    byId("sheet").style.setProperty("--cell", widest);
  } });
  const text = element("span", {}, `${label}: waiting`);
  const button = element("button", { type: "button", onclick: () => choose(settings) }, image, text);
  return { button, image, text, label };
}

const WORDS = { queued: "waiting", running: "painting", paused: "paused", done: "ready", cancelled: "thrown away", failed: "failed" };

async function watch(mine, cells, state) {
  const open = new Set(cells);
  while (open.size && mine === sheet) {
    try {
      const ids = new Map((await call("GET", "/jobs?purpose=proof&limit=100")).jobs.map((job) => [job.id, job]));
      for (const cell of open) {
        const job = ids.get(cell.job.id);
        if (!job || ["done", "cancelled", "failed"].includes(job.state)) open.delete(cell);
        cell.text.textContent = `${cell.label}: ${job ? WORDS[job.state] : "gone"}`;
        if (job?.step && job.step !== cell.step) {
          cell.step = job.step;
          cell.image.src = resultUrl(job.id, "latest", `?at=${job.step}`);
        }
      }
      state.textContent = open.size ? `${cells.length - open.size} of ${cells.length} proofs are ready.` : "All proofs are ready: choose one to go on from it.";
    } catch (error) {
      complain(error);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
