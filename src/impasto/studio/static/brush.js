// Paint a mask over the content: white where the brush went, black elsewhere, in the content's proportions.

import { assetUrl, complain, upload } from "./api.js";
import { pictures } from "./inputs.js";

const LONG_SIDE = 1024;
const byId = (id) => document.getElementById(id);
const picture = (url) => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = () => resolve(image);
  image.onerror = () => reject(new Error("this browser cannot show the content, so it cannot be brushed over"));
  image.src = url;
});

let dialog, canvas, pen, mask, ink;
let content = null;
let at = null;
let down = false;
let touched = false;
let save = null;

// Open the brush; what is painted goes to `done` as the id of an asset, and the dialog closes if it resolves to true.
export async function openBrush({ title, help, label, before = null, painting = false, done }) {
  try {
    content = await picture(assetUrl(pictures.content));
    const scale = Math.min(1, LONG_SIDE / Math.max(content.naturalWidth, content.naturalHeight));
    for (const one of [canvas, mask]) {
      one.width = Math.max(1, Math.round(content.naturalWidth * scale));
      one.height = Math.max(1, Math.round(content.naturalHeight * scale));
    }
    touched = before !== null;
    if (before) await recall(before);
  } catch (error) {
    complain(error);
    return;
  }
  byId("brush-title").textContent = title;
  byId("brush-help").textContent = help;
  byId("brush-save").textContent = label;
  byId("brush-painting").hidden = !painting;
  byId("brush-state").textContent = "";
  byId("brush-erase").checked = false;
  save = done;
  at = { x: canvas.width / 2, y: canvas.height / 2 };
  dialog.showModal();
  draw();
}

// Show an earlier mask again: what was white is ink.
async function recall(id) {
  ink.globalCompositeOperation = "source-over";
  ink.drawImage(await picture(assetUrl(id)), 0, 0, mask.width, mask.height);
  const pixels = ink.getImageData(0, 0, mask.width, mask.height);
  for (let index = 0; index < pixels.data.length; index += 4) pixels.data[index + 3] = pixels.data[index];
  ink.putImageData(pixels, 0, 0);
}

function draw() {
  pen.globalAlpha = 1;
  pen.drawImage(content, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 0.55;
  pen.drawImage(tinted(), 0, 0);
  if (!at) return;
  pen.globalAlpha = 1;
  pen.strokeStyle = "#fff";
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(at.x, at.y, Number(byId("brush-size").value), 0, 7);
  pen.stroke();
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
  touched = true;
  ink.globalCompositeOperation = byId("brush-erase").checked ? "destination-out" : "source-over";
  ink.strokeStyle = "#fff";
  ink.lineCap = "round";
  ink.lineWidth = 2 * Number(byId("brush-size").value);
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x + 0.01, to.y);
  ink.stroke();
}

function where(event) {
  const box = canvas.getBoundingClientRect();
  return { x: ((event.clientX - box.left) * canvas.width) / box.width, y: ((event.clientY - box.top) * canvas.height) / box.height };
}

async function keep() {
  const state = byId("brush-state");
  if (!touched) {
    state.textContent = "Nothing is painted yet: brush over the picture first.";
    return;
  }
  const whole = document.createElement("canvas");
  [whole.width, whole.height] = [mask.width, mask.height];
  const paint = whole.getContext("2d");
  paint.fillRect(0, 0, whole.width, whole.height);
  paint.drawImage(mask, 0, 0);
  state.textContent = "sending";
  try {
    const blob = await new Promise((resolve) => { whole.toBlob(resolve, "image/png"); });
    const refused = await save((await upload(blob)).id);
    state.textContent = refused || "";
    if (!refused) dialog.close();
  } catch (error) {
    state.textContent = error.message;
  }
}

export function startBrush() {
  dialog = byId("brush");
  canvas = dialog.querySelector("canvas");
  pen = canvas.getContext("2d");
  mask = document.createElement("canvas");
  ink = mask.getContext("2d", { willReadFrequently: true });
  canvas.addEventListener("pointerdown", (event) => {
    down = true;
    canvas.setPointerCapture(event.pointerId);
    at = where(event);
    stroke(at, at);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = where(event);
    if (down) stroke(at, now);
    at = now;
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { down = false; });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = Math.max(4, Number(byId("brush-size").value) / 2);
    if (event.key in moves) at = { x: at.x + moves[event.key][0] * step, y: at.y + moves[event.key][1] * step };
    else if (event.key === " ") stroke(at, at);
    else return;
    event.preventDefault();
    draw();
  });
  byId("brush-size").addEventListener("input", draw);
  byId("brush-clear").addEventListener("click", () => { ink.clearRect(0, 0, mask.width, mask.height); touched = false; draw(); });
  byId("brush-save").addEventListener("click", keep);
}
