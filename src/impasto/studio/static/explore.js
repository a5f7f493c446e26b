// A grid of small variations over strength and stroke size; choosing one paints with its settings.

import { call, resultUrl } from "./api.js";
import { jobPictures } from "./regions.js";
import { OVER, STATE_LABELS, byId, element, showError } from "./dom.js";
import { pictures } from "./inputs.js";

const POLL_MS = 700;
const MAX_CELLS = 25;
const PROOF = { size: "160", steps: 40 };
const MAX_ZOOM = 2;
let sheet = 0;

const numbers = (id) => byId(id).value.split(/[,\s]+/).filter(Boolean).map(Number);

export function startExplore(options, choose) {
  byId("sheet-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    showError(null);
    const mine = ++sheet;
    const [strengths, scales] = [numbers("sheet-strengths"), numbers("sheet-scales")];
    const state = byId("sheet-state");
    if (!pictures.content || !(pictures.styles.length || pictures.regions.length)) {
      state.textContent = "Variations need a photo and a painting. Add them under Paint.";
      return;
    }
    if (![...strengths, ...scales].every(Number.isFinite) || !strengths.length || !scales.length || strengths.length * scales.length > MAX_CELLS) {
      state.textContent = `Enter numbers separated by commas, for at most ${MAX_CELLS} variations in total.`;
      return;
    }
    const grid = byId("sheet");
    grid.style.gridTemplateColumns = `repeat(${scales.length}, minmax(0, calc(var(--cell, 320px) + .8rem + 2px)))`;
    grid.style.removeProperty("--cell");
    grid.replaceChildren();
    state.textContent = "Adding the variations to the queue.";
    const cells = [];
    try {
      for (const strength of strengths) {
        for (const style_scale of scales) {
          const settings = { ...options(), strength, style_scale };
          const cell = draw(settings, choose);
          grid.append(cell.button);
          cell.job = await call("POST", "/jobs", { ...jobPictures(), purpose: "proof", options: { ...settings, ...PROOF, time: undefined } });
          cells.push(cell);
        }
      }
    } catch (error) {
      showError(error);
      state.textContent = cells.length ? "Some variations could not be added to the queue." : "The variations could not be added to the queue.";
    }
    if (cells.length) watch(mine, cells, state);
  });
}

function draw(settings, choose) {
  const label = `Style ${settings.strength}, strokes ${settings.style_scale}×`;
  // A variation is small and is shown at most at twice its size, which sets the width of its column.
  const image = element("img", { alt: "", onload: () => {
    const widest = `${MAX_ZOOM * image.naturalWidth}px`;
    image.style.maxWidth = widest;
    byId("sheet").style.setProperty("--cell", widest);
  } });
  const text = element("span", {}, `${label}: queued`);
  const button = element("button", { type: "button", onclick: () => choose(settings) }, image, text);
  return { button, image, text, label };
}

async function watch(mine, cells, state) {
  const open = new Set(cells);
  while (open.size && mine === sheet) {
    try {
      const ids = new Map((await call("GET", "/jobs?purpose=proof&limit=100")).jobs.map((job) => [job.id, job]));
      for (const cell of open) {
        const job = ids.get(cell.job.id);
        if (!job || OVER.includes(job.state)) open.delete(cell);
        cell.text.textContent = `${cell.label}: ${job ? STATE_LABELS[job.state] : "deleted"}`;
        if (job?.step && job.step !== cell.step) {
          cell.step = job.step;
          cell.image.src = resultUrl(job.id, "latest", `?at=${job.step}`);
        }
      }
      state.textContent = open.size ? `${cells.length - open.size} of ${cells.length} variations are ready.` : "All variations are ready. Choose one to paint with its settings.";
    } catch (error) {
      showError(error);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
