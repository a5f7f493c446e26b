// Places: regions that have a painting of their own, and what is protected; both are brushed over the content.

import { assetUrl, call, element, upload } from "./api.js";
import { openBrush } from "./brush.js";
import { changed, pictures } from "./inputs.js";

const byId = (id) => document.getElementById(id);
const MOST_REGIONS = 8;
let samples = [];
let weigh = null;

// What a job is asked for, of the pictures as they are now.
export const parts = () => ({
  content: pictures.content,
  styles: pictures.styles.map(({ asset, weight }) => ({ asset, weight })),
  ...(pictures.regions.length ? { regions: pictures.regions.map(({ name, mask, asset }) => ({ name, mask, asset })) } : {}),
  ...(pictures.protect ? { protect: pictures.protect } : {}),
});

// The regions' weights as terms of the objective; only those that were turned.
export const terms = () => Object.fromEntries(
  pictures.regions.filter((region) => region.weight !== 1).map((region) => [`style:${region.name}`, region.weight]),
);

export function drawPlaces() {
  byId("add-region").disabled = !pictures.content || pictures.regions.length >= MOST_REGIONS;
  byId("protect").disabled = !pictures.content;
  byId("unprotect").hidden = !pictures.protect;
  byId("protect-mask").hidden = !pictures.protect;
  if (pictures.protect) byId("protect-mask").src = assetUrl(pictures.protect);
  byId("protect-help").textContent = pictures.protect ? "Some areas are protected." : "Brush over what must stay as it is.";
  byId("regions").replaceChildren(...pictures.regions.map(item));
}

function item(region) {
  const called = region.name.replaceAll("_", " ");
  const slider = element("input", {
    type: "range", min: 0, max: 3, step: 0.05, value: region.weight,
    oninput: (event) => { region.weight = Number(event.target.value); weigh(`style:${region.name}`, region.weight); },
  });
  const button = (text, act) => element("button", { type: "button", "aria-label": `${text}: ${called}`, onclick: act }, text);
  return element("li", {},
    element("img", { src: assetUrl(region.asset), alt: `The painting of ${called}` }),
    element("img", { src: assetUrl(region.mask), alt: `Where ${called} is: the white part` }),
    element("label", { class: "help" }, `${called}: weight of its painting (acts at once)`, slider),
    element("div", { class: "buttons" },
      button("Brush", () => edit(region)),
      button("Remove", () => { pictures.regions.splice(pictures.regions.indexOf(region), 1); changed(true); })));
}

function paintings(asset) {
  const select = byId("brush-style");
  select.replaceChildren(
    ...pictures.styles.map((style, index) => element("option", { value: style.asset }, `style ${index + 1}`)),
    ...samples.map((name) => element("option", { value: `sample:${name}` }, `sample: ${name.replaceAll("_", " ")}`)),
  );
  if (asset && !pictures.styles.some((style) => style.asset === asset)) select.prepend(element("option", { value: asset }, "its painting"));
  if (asset) select.value = asset;
}

async function painting() {
  const wish = byId("brush-style").value;
  return wish.startsWith("sample:") ? (await call("POST", `/samples/${wish.slice(7)}`)).id : wish;
}

const freeName = () => {
  const taken = new Set(pictures.regions.map((region) => region.name));
  for (let number = 1; ; number += 1) if (!taken.has(`region_${number}`)) return `region_${number}`;
};

function edit(region) {
  paintings(region?.asset);
  openBrush({
    title: region ? `Brush ${region.name.replaceAll("_", " ")}` : "Add a region",
    help: "Paint over the part, and say which painting it is to be like.",
    label: region ? "Keep" : "Add this region",
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

export function startPlaces(names, onWeight) {
  samples = names;
  weigh = onWeight;
  byId("add-region").addEventListener("click", () => edit(null));
  byId("brush-file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    byId("brush-state").textContent = "receiving the painting";
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
    title: "Protect areas",
    help: "Paint over what must stay as it is.",
    label: "Protect this",
    before: pictures.protect,
    done: async (mask) => { pictures.protect = mask; changed(true); return null; },
  }));
  byId("unprotect").addEventListener("click", () => { pictures.protect = null; changed(true); });
}
