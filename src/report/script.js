"use strict";
for (const gallery of document.querySelectorAll(".gallery")) {
  const figures = [...gallery.querySelectorAll("figure")];
  const inputs = [...gallery.querySelectorAll("[data-filter]")];
  const matching = gallery.querySelector(".matching");
  const apply = () => {
    const wanted = inputs.find((input) => input.dataset.filter === "class").value;
    const kinds = inputs.filter((input) => input.checked).map((input) => input.value);
    let count = 0;
    for (const figure of figures) {
      const has = (kind) => {
        const classes = (figure.getAttribute("data-" + kind) || "").split(" ").filter(Boolean);
        return wanted === "" ? classes.length > 0 : classes.includes(wanted);
      };
      figure.hidden = !kinds.some(has);
      count += figure.hidden ? 0 : 1;
    }
    matching.textContent = count + " of " + figures.length + " patches";
  };
  gallery.querySelector(".filters").hidden = false;
  matching.hidden = false;
  for (const input of inputs) input.addEventListener("change", apply);
  apply();
}
for (const explorer of document.querySelectorAll(".explorer")) {
  const thousands = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  const share = (a, b) => (b > 0 ? (a / b).toFixed(3) : "–");
  const rows = [...explorer.querySelectorAll("tr[data-positives]")].map((row) => {
    const read = (text) => {
      const over = new Array(1002).fill(0);
      for (const part of text.split(" ").filter(Boolean)) {
        const [step, count] = part.split("*");
        over[Number(step)] += Number(count || 1);
      }
      for (let step = 1000; step >= 0; step--) over[step] += over[step + 1];
      return over;
    };
    const positives = read(row.dataset.positives);
    const negatives = read(row.dataset.negatives);
    const slider = row.querySelector("input");
    const cells = [...row.querySelectorAll("td")].slice(3);
    const show = () => {
      const step = Number(slider.value);
      const tp = positives[step], fp = negatives[step], fn = positives[0] - tp, tn = negatives[0] - fp;
      row.querySelector("output").textContent = (step / 1000).toFixed(3);
      slider.setAttribute("aria-valuetext", (step / 1000).toFixed(3));
      const f1 = tp + fn > 0 ? share(2 * tp, 2 * tp + fp + fn) : "–";
      const texts = [...[tp, fp, fn, tn].map(thousands), share(tp, tp + fn), share(tn, tn + fp), share(tp, tp + fp), f1];
      texts.forEach((text, at) => { cells[at].textContent = text; });
    };
    slider.addEventListener("input", show);
    return { slider, show };
  });
  for (const hidden of explorer.querySelectorAll("[hidden]")) hidden.hidden = false;
  for (const button of explorer.querySelectorAll("[data-reset]")) {
    button.addEventListener("click", () => rows.forEach(({ slider, show }) => {
      slider.value = button.dataset.reset || slider.dataset.initial;
      show();
    }));
  }
}
const dialog = document.querySelector("dialog.zoom");
if (dialog) {
  document.addEventListener("click", (event) => {
    const picture = event.target.closest("button.picture");
    if (!picture) return;
    const body = dialog.querySelector("div");
    const large = document.createElement("span");
    large.className = "picture";
    for (const child of picture.children) large.append(child.cloneNode(true));
    body.replaceChildren(large);
    const caption = picture.parentElement.querySelector("figcaption");
    if (caption) body.append(...[...caption.childNodes].map((node) => node.cloneNode(true)));
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
