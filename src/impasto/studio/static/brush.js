// Paints a mask over the photo: white under the brush, black elsewhere, with the photo's aspect ratio.

import { assetUrl, call, upload } from "./api.js";
import { byId, showError } from "./dom.js";
import { pictures } from "./inputs.js";

const LONG_SIDE = 1024;
const picture = (url) => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = () => resolve(image);
  image.onerror = () => reject(new Error("This browser cannot show the photo, so no mask can be painted on it."));
  image.src = url;
});

let dialog, canvas, view, mask, ink;
let content = null;
let brush = null;
let down = false;
let changed = false;
let save = null;
let clicks = "";

// Open the brush. The finished mask is uploaded and its asset id passed to `done`; the dialog stays open if that returns a message.
export async function openBrush({ title, help, label, before = null, painting = false, done }) {
  try {
    content = await picture(assetUrl(pictures.content));
    const scale = Math.min(1, LONG_SIDE / Math.max(content.naturalWidth, content.naturalHeight));
    for (const layer of [canvas, mask]) {
      layer.width = Math.max(1, Math.round(content.naturalWidth * scale));
      layer.height = Math.max(1, Math.round(content.naturalHeight * scale));
    }
    changed = before !== null;
    if (before) await loadMask(before);
  } catch (error) {
    showError(error);
    return;
  }
  byId("brush-title").textContent = title;
  byId("brush-help").textContent = help;
  byId("brush-save").textContent = label;
  byId("brush-painting").hidden = !painting;
  byId("brush-state").textContent = "";
  byId("brush-erase").checked = false;
  byId("brush-tool").value = "brush";
  clicks = "";
  save = done;
  brush = { x: canvas.width / 2, y: canvas.height / 2 };
  dialog.showModal();
  draw();
}

// Load an earlier mask: white pixels become brush strokes.
async function loadMask(id) {
  ink.globalCompositeOperation = "source-over";
  ink.drawImage(await picture(assetUrl(id)), 0, 0, mask.width, mask.height);
  const pixels = ink.getImageData(0, 0, mask.width, mask.height);
  for (let index = 0; index < pixels.data.length; index += 4) pixels.data[index + 3] = pixels.data[index];
  ink.putImageData(pixels, 0, 0);
}

function draw() {
  view.globalAlpha = 1;
  view.drawImage(content, 0, 0, canvas.width, canvas.height);
  view.globalAlpha = 0.55;
  view.drawImage(tinted(), 0, 0);
  if (!brush) return;
  view.globalAlpha = 1;
  view.strokeStyle = "#fff";
  view.lineWidth = 2;
  view.beginPath();
  view.arc(brush.x, brush.y, Number(byId("brush-size").value), 0, 7);
  view.stroke();
}

function tinted() {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [mask.width, mask.height];
  const paint = copy.getContext("2d");
  paint.drawImage(mask, 0, 0);
  paint.globalCompositeOperation = "source-in";
  paint.fillStyle = "#e0457b";
  paint.fillRect(0, 0, copy.width, copy.height);
  return copy;
}

function stroke(from, to) {
  changed = true;
  ink.globalCompositeOperation = byId("brush-erase").checked ? "destination-out" : "source-over";
  ink.strokeStyle = "#fff";
  ink.lineCap = "round";
  ink.lineWidth = 2 * Number(byId("brush-size").value);
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x + 0.01, to.y);
  ink.stroke();
}

function position(event) {
  const box = canvas.getBoundingClientRect();
  return { x: ((event.clientX - box.left) * canvas.width) / box.width, y: ((event.clientY - box.top) * canvas.height) / box.height };
}

// Replace the mask by one that the studio draws: by name, or around the points that were clicked.
async function drawMask(name) {
  const state = byId("brush-state");
  state.textContent = "Drawing the mask";
  try {
    const found = await call("POST", `/assets/${pictures.content}/masks?name=${encodeURIComponent(name)}`);
    ink.clearRect(0, 0, mask.width, mask.height);
    await loadMask(found.id);
    changed = true;
    state.textContent = "";
    draw();
    return true;
  } catch (error) {
    state.textContent = error.message;
    return false;
  }
}

async function click(place, removes) {
  const text = `${(place.x / canvas.width).toFixed(4)},${(place.y / canvas.height).toFixed(4)}`;
  if (removes && !clicks) {
    byId("brush-state").textContent = "Select something first.";
    return;
  }
  const next = clicks ? `${clicks}${removes ? "-" : "+"}${text}` : text;
  if (await drawMask(next)) clicks = next;
}

async function saveMask() {
  const state = byId("brush-state");
  if (!changed) {
    state.textContent = "The mask is empty. Paint over the photo first.";
    return;
  }
  const whole = document.createElement("canvas");
  [whole.width, whole.height] = [mask.width, mask.height];
  const paint = whole.getContext("2d");
  paint.fillRect(0, 0, whole.width, whole.height);
  paint.drawImage(mask, 0, 0);
  state.textContent = "Uploading the mask";
  try {
    const blob = await new Promise((resolve) => { whole.toBlob(resolve, "image/png"); });
    const message = await save((await upload(blob)).id);
    state.textContent = message || "";
    if (!message) dialog.close();
  } catch (error) {
    state.textContent = error.message;
  }
}

export function startBrush() {
  dialog = byId("brush");
  canvas = dialog.querySelector("canvas");
  view = canvas.getContext("2d");
  mask = document.createElement("canvas");
  ink = mask.getContext("2d", { willReadFrequently: true });
  for (const button of byId("brush-names").children) {
    button.addEventListener("click", () => { clicks = ""; drawMask(button.dataset.mask); });
  }
  canvas.addEventListener("pointerdown", (event) => {
    const tool = byId("brush-tool").value;
    if (tool !== "brush") {
      click(position(event), tool === "remove");
      return;
    }
    down = true;
    canvas.setPointerCapture(event.pointerId);
    brush = position(event);
    stroke(brush, brush);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = position(event);
    if (down) stroke(brush, now);
    brush = now;
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { down = false; });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = Math.max(4, Number(byId("brush-size").value) / 2);
    if (event.key in moves) brush = { x: brush.x + moves[event.key][0] * step, y: brush.y + moves[event.key][1] * step };
    else if (event.key === " " && byId("brush-tool").value !== "brush") click(brush, byId("brush-tool").value === "remove");
    else if (event.key === " ") stroke(brush, brush);
    else return;
    event.preventDefault();
    draw();
  });
  byId("brush-size").addEventListener("input", draw);
  byId("brush-clear").addEventListener("click", () => { ink.clearRect(0, 0, mask.width, mask.height); changed = false; clicks = ""; draw(); });
  byId("brush-save").addEventListener("click", saveMask);
}
