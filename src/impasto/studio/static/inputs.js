// The photo and the paintings: dropped, pasted, chosen as files, from samples or from the webcam.

import { assetUrl, call, upload } from "./api.js";
import { byId, element, showError } from "./dom.js";

export const pictures = { content: null, styles: [], regions: [], protect: null };
const listeners = [];
const MAX_STYLES = 8;

export const onPictures = (listener) => listeners.push(listener);

// Notify the listeners; `byUser` is false where the page itself made the change.
export function changed(byUser) {
  draw();
  listeners.forEach((listener) => listener(byUser));
}

export function setPictures(content, styles, regions, protect) {
  Object.assign(pictures, { content, styles, regions, protect });
  changed(false);
}

async function take(part, source) {
  const place = byId(`drop-${part}`);
  place.classList.add("busy");
  place.setAttribute("aria-busy", "true");
  showError(null);
  try {
    const asset = await source();
    if (part === "content") {
      // Masks of the old photo do not fit a new one.
      if (asset.id !== pictures.content) Object.assign(pictures, { content: asset.id, regions: [], protect: null });
    } else if (pictures.styles.length < MAX_STYLES) {
      pictures.styles.push({ asset: asset.id, weight: 1 });
    } else {
      throw new Error(`At most ${MAX_STYLES} paintings can be blended. Remove one first.`);
    }
    changed(true);
  } catch (error) {
    showError(error);
  } finally {
    place.classList.remove("busy");
    place.removeAttribute("aria-busy");
  }
}

const takeFiles = async (part, files) => {
  for (const file of part === "content" ? [...files].slice(0, 1) : files) await take(part, () => upload(file));
};

function draw() {
  const content = byId("drop-content");
  const figure = content.querySelector("figure");
  figure.hidden = !pictures.content;
  if (pictures.content) shown(figure.querySelector("img"), assetUrl(pictures.content), figure.querySelector("figcaption"));
  const list = byId("styles");
  list.replaceChildren(...pictures.styles.map(styleItem));
}

function shown(image, url, caption) {
  if (image.getAttribute("src") === url) return;
  caption.textContent = "";
  image.onerror = () => { caption.textContent = "This browser cannot display this format, but the image can still be used."; };
  image.src = url;
}

function styleItem(style, index) {
  const caption = element("span", { class: "help" });
  const image = element("img", { alt: `Painting ${index + 1}` });
  shown(image, assetUrl(style.asset), caption);
  const remove = element("button", {
    type: "button", "aria-label": `Remove painting ${index + 1}`,
    onclick: () => { pictures.styles.splice(index, 1); changed(true); },
  }, "Remove");
  const item = element("li", {}, image, caption);
  if (pictures.styles.length > 1) {
    const slider = element("input", {
      type: "range", min: 0.05, max: 1, step: 0.05, value: style.weight,
      oninput: (event) => { style.weight = Number(event.target.value); listeners.forEach((listener) => listener(true)); },
    });
    item.append(element("label", { class: "help" }, `Weight of painting ${index + 1}`, slider));
  }
  item.append(remove);
  return item;
}

function place(part) {
  const drop = byId(`drop-${part}`);
  drop.querySelector("input[type=file]").addEventListener("change", async (event) => {
    await takeFiles(part, event.target.files);
    event.target.value = "";
  });
  drop.querySelector("select").addEventListener("change", async (event) => {
    const name = event.target.value;
    event.target.value = "";
    if (name) await take(part, () => call("POST", `/samples/${name}`));
  });
  drop.querySelector(".webcam").addEventListener("click", () => webcam(part));
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); takeFiles(part, event.dataTransfer.files); });
}

async function webcam(part) {
  const dialog = byId("webcam");
  const video = dialog.querySelector("video");
  const help = byId("webcam-help");
  dialog.showModal();
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
    if (!dialog.open) { // closed while the browser was asking
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    video.srcObject = stream;
    help.textContent = "Press the button to take a photo.";
  } catch {
    help.textContent = "No camera is available, or the browser has no permission to use it.";
  }
  const button = byId("webcam-take");
  button.disabled = !stream;
  button.onclick = () => {
    const still = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    still.getContext("2d").drawImage(video, 0, 0);
    still.toBlob((blob) => take(part, () => upload(blob)), "image/png");
    dialog.close();
  };
  dialog.onclose = () => stream?.getTracks().forEach((track) => track.stop());
}

export function startInputs(samples) {
  for (const part of ["content", "style"]) {
    place(part);
    const select = document.querySelector(`#drop-${part} select`);
    select.append(...samples.map((name) => element("option", { value: name }, name.replaceAll("_", " "))));
  }
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => event.preventDefault());
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) takeFiles(pictures.content ? "style" : "content", files);
  });
}
