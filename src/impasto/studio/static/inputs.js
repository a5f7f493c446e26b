// The two places for pictures: dropped, pasted, chosen, from samples, from the webcam.

import { assetUrl, call, complain, element, upload } from "./api.js";

export const pictures = { content: null, styles: [], regions: [], protect: null };
const listeners = [];
const MOST_STYLES = 8;

export const onPictures = (listener) => listeners.push(listener);

// Tell everybody; `turned` says whether a person did it, or the page itself.
export function changed(turned) {
  draw();
  listeners.forEach((listener) => listener(turned));
}

export function setPictures(content, styles, regions, protect) {
  Object.assign(pictures, { content, styles, regions, protect });
  changed(false);
}

async function take(part, source) {
  const place = document.getElementById(`drop-${part}`);
  place.classList.add("busy");
  place.setAttribute("aria-busy", "true");
  complain(null);
  try {
    const asset = await source();
    if (part === "content") {
      // What was brushed over the old content has no place on a new one.
      if (asset.id !== pictures.content) Object.assign(pictures, { content: asset.id, regions: [], protect: null });
    } else if (pictures.styles.length < MOST_STYLES) {
      pictures.styles.push({ asset: asset.id, weight: 1 });
    } else {
      throw new Error(`at most ${MOST_STYLES} styles can be blended; remove one first`);
    }
    changed(true);
  } catch (error) {
    complain(error);
  } finally {
    place.classList.remove("busy");
    place.removeAttribute("aria-busy");
  }
}

const takeFiles = async (part, files) => {
  for (const file of part === "content" ? [...files].slice(0, 1) : files) await take(part, () => upload(file));
};

function draw() {
  const content = document.getElementById("drop-content");
  const figure = content.querySelector("figure");
  figure.hidden = !pictures.content;
  if (pictures.content) shown(figure.querySelector("img"), assetUrl(pictures.content), figure.querySelector("figcaption"));
  const list = document.getElementById("styles");
  list.replaceChildren(...pictures.styles.map(styleItem));
}

function shown(image, url, caption) {
  if (image.getAttribute("src") === url) return;
  caption.textContent = "";
  image.onerror = () => { caption.textContent = "This browser cannot show the format; it will be painted all the same."; };
  image.src = url;
}

function styleItem(style, index) {
  const caption = element("span", { class: "help" });
  const image = element("img", { alt: `Style ${index + 1}` });
  shown(image, assetUrl(style.asset), caption);
  const remove = element("button", {
    type: "button", "aria-label": `Remove style ${index + 1}`,
    onclick: () => { pictures.styles.splice(index, 1); changed(true); },
  }, "Remove");
  const item = element("li", {}, image, caption);
  if (pictures.styles.length > 1) {
    const slider = element("input", {
      type: "range", min: 0.05, max: 1, step: 0.05, value: style.weight,
      oninput: (event) => { style.weight = Number(event.target.value); listeners.forEach((listener) => listener(true)); },
    });
    item.append(element("label", { class: "help" }, `Part of style ${index + 1} in the blend`, slider));
  }
  item.append(remove);
  return item;
}

function place(part) {
  const drop = document.getElementById(`drop-${part}`);
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
  const dialog = document.getElementById("webcam");
  const video = dialog.querySelector("video");
  const help = document.getElementById("webcam-help");
  dialog.showModal();
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
    if (!dialog.open) { // closed while the browser was asking
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    video.srcObject = stream;
    help.textContent = "The picture is taken when you press the button.";
  } catch {
    help.textContent = "No camera can be used here: none is there, or the browser was not allowed to.";
  }
  const button = document.getElementById("webcam-take");
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
