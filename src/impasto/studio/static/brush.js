// Paint what must stay: white where protected, black elsewhere, in the content's proportions.

import { assetUrl, complain, upload } from "./api.js";
import { pictures, redraw } from "./inputs.js";

const LONG_SIDE = 1024;

export function startBrush() {
  const dialog = document.getElementById("brush");
  const canvas = dialog.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const mask = document.createElement("canvas");
  const ink = mask.getContext("2d");
  const size = document.getElementById("brush-size");
  const erase = document.getElementById("brush-erase");
  let content = null;
  let at = null;
  let down = false;

  const draw = () => {
    pen.globalAlpha = 1;
    pen.drawImage(content, 0, 0, canvas.width, canvas.height);
    pen.globalAlpha = 0.55;
    pen.drawImage(tinted(), 0, 0);
    if (at) {
      pen.globalAlpha = 1;
      pen.strokeStyle = "#fff";
      pen.beginPath();
      pen.arc(at.x, at.y, Number(size.value), 0, 7);
      pen.stroke();
    }
  };
  const tinted = () => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [mask.width, mask.height];
    const paint = copy.getContext("2d");
    paint.drawImage(mask, 0, 0);
    paint.globalCompositeOperation = "source-in";
    paint.fillStyle = "#e0457b";
    paint.fillRect(0, 0, copy.width, copy.height);
    return copy;
  };
  const stroke = (from, to) => {
    ink.globalCompositeOperation = erase.checked ? "destination-out" : "source-over";
    ink.strokeStyle = "#fff";
    ink.lineCap = "round";
    ink.lineWidth = 2 * Number(size.value);
    ink.beginPath();
    ink.moveTo(from.x, from.y);
    ink.lineTo(to.x + 0.01, to.y);
    ink.stroke();
  };
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * canvas.width) / box.width, y: ((event.clientY - box.top) * canvas.height) / box.height };
  };

  document.getElementById("protect").addEventListener("click", () => {
    content = new Image();
    content.onload = () => {
      const scale = Math.min(1, LONG_SIDE / Math.max(content.naturalWidth, content.naturalHeight));
      for (const one of [canvas, mask]) {
        one.width = Math.max(1, Math.round(content.naturalWidth * scale));
        one.height = Math.max(1, Math.round(content.naturalHeight * scale));
      }
      at = { x: canvas.width / 2, y: canvas.height / 2 };
      dialog.showModal();
      draw();
    };
    content.onerror = () => complain(new Error("this browser cannot show the content, so it cannot be brushed over"));
    content.src = assetUrl(pictures.content);
  });
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
  canvas.addEventListener("pointerup", () => { down = false; });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = Math.max(4, Number(size.value) / 2);
    if (event.key in moves) at = { x: at.x + moves[event.key][0] * step, y: at.y + moves[event.key][1] * step };
    else if (event.key === " ") stroke(at, at);
    else return;
    event.preventDefault();
    draw();
  });
  document.getElementById("brush-clear").addEventListener("click", () => { ink.clearRect(0, 0, mask.width, mask.height); draw(); });
  document.getElementById("brush-save").addEventListener("click", () => {
    const whole = document.createElement("canvas");
    [whole.width, whole.height] = [mask.width, mask.height];
    const paint = whole.getContext("2d");
    paint.fillRect(0, 0, whole.width, whole.height);
    paint.drawImage(mask, 0, 0);
    whole.toBlob(async (blob) => {
      try {
        pictures.protect = (await upload(blob)).id;
        dialog.close();
        redraw();
      } catch (error) {
        complain(error);
      }
    }, "image/png");
  });
}
