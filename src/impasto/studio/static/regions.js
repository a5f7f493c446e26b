// Regions with their own painting, and a protected area; both are masks painted over the photo.

import { assetUrl, call, upload } from "./api.js";
import { openBrush } from "./brush.js";
import { byId, element } from "./dom.js";
import { changed, pictures } from "./inputs.js";

const MAX_REGIONS = 8;
let samples = [];
let onWeight = null;

// The images of a new job, as the API expects them.
export const jobPictures = () => ({
  content: pictures.content,
  styles: pictures.styles.map(({ asset, weight }) => ({ asset, weight })),
  ...(pictures.regions.length ? { regions: pictures.regions.map(({ name, mask, asset }) => ({ name, mask, asset })) } : {}),
  ...(pictures.protect ? { protect: pictures.protect } : {}),
});

// The weights of the regions as terms of the objective; only those that were changed.
export const regionWeights = () => Object.fromEntries(
  pictures.regions.filter((region) => region.weight !== 1).map((region) => [`style:${region.name}`, region.weight]),
);

export function drawRegions() {
  byId("add-region").disabled = !pictures.content || pictures.regions.length >= MAX_REGIONS;
  byId("protect").disabled = !pictures.content;
  byId("unprotect").hidden = !pictures.protect;
  byId("protect-mask").hidden = !pictures.protect;
  if (pictures.protect) byId("protect-mask").src = assetUrl(pictures.protect);
  byId("protect-help").textContent = pictures.protect ? "Part of the photo is protected." : "Brush over what must not change.";
  byId("regions").replaceChildren(...pictures.regions.map(item));
}

function item(region) {
  const label = region.name.replaceAll("_", " ");
  const slider = element("input", {
    type: "range", min: 0, max: 3, step: 0.05, value: region.weight,
    oninput: (event) => { region.weight = Number(event.target.value); onWeight(`style:${region.name}`, region.weight); },
  });
  const button = (text, act) => element("button", { type: "button", "aria-label": `${text}: ${label}`, onclick: act }, text);
  return element("li", {},
    element("img", { src: assetUrl(region.asset), alt: `Painting for ${label}` }),
    element("img", { src: assetUrl(region.mask), alt: `Mask of ${label}, in white` }),
    element("label", { class: "help" }, `${label[0].toUpperCase()}${label.slice(1)}: weight of its painting (live)`, slider),
    element("div", { class: "buttons" },
      button("Edit", () => edit(region)),
      button("Remove", () => { pictures.regions.splice(pictures.regions.indexOf(region), 1); changed(true); })));
}

function paintings(asset) {
  const select = byId("brush-style");
  select.replaceChildren(
    ...pictures.styles.map((style, index) => element("option", { value: style.asset }, `Painting ${index + 1}`)),
    ...samples.map((name) => element("option", { value: `sample:${name}` }, `Sample: ${name.replaceAll("_", " ")}`)),
  );
  if (asset && !pictures.styles.some((style) => style.asset === asset)) select.prepend(element("option", { value: asset }, "Current painting"));
  if (asset) select.value = asset;
}

async function painting() {
  const choice = byId("brush-style").value;
  return choice.startsWith("sample:") ? (await call("POST", `/samples/${choice.slice(7)}`)).id : choice;
}

const freeName = () => {
  const taken = new Set(pictures.regions.map((region) => region.name));
  for (let number = 1; ; number += 1) if (!taken.has(`region_${number}`)) return `region_${number}`;
};

function edit(region) {
  paintings(region?.asset);
  openBrush({
    title: region ? `Edit ${region.name.replaceAll("_", " ")}` : "Add region",
    help: "Paint over the region and choose a painting for it.",
    label: region ? "Save" : "Add region",
    before: region?.mask,
    painting: true,
    done: async (mask) => {
      const asset = await painting();
      if (!asset) return "Choose a painting for this region.";
      if (region) Object.assign(region, { mask, asset });
      else pictures.regions.push({ name: freeName(), mask, asset, weight: 1 });
      changed(true);
      return null;
    },
  });
}

export function startRegions(names, weightChanged) {
  samples = names;
  onWeight = weightChanged;
  byId("add-region").addEventListener("click", () => edit(null));
  byId("brush-file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    byId("brush-state").textContent = "Uploading the painting";
    try {
      const chosen = (await upload(file)).id;
      const select = byId("brush-style");
      select.prepend(element("option", { value: chosen }, file.name));
      select.value = chosen;
      byId("brush-state").textContent = "";
    } catch (error) {
      byId("brush-state").textContent = error.message;
    }
    event.target.value = "";
  });
  byId("protect").addEventListener("click", () => openBrush({
    title: "Protect",
    help: "Paint over what must not change.",
    label: "Protect",
    before: pictures.protect,
    done: async (mask) => { pictures.protect = mask; changed(true); return null; },
  }));
  byId("unprotect").addEventListener("click", () => { pictures.protect = null; changed(true); });
}
