"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const hidden = new Set();
  const nodes = all(".node");

  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const node of nodes) {
      const graph = node.closest(".graph");
      const off = hidden.has(graph.id + " " + node.dataset.op) ||
        (node.dataset.constant && !graph.querySelector(".constants")?.checked && !words.length) ||
        !words.every(word => node.dataset.words.includes(word));
      node.hidden = off;
      count += !off;
    }
    found.textContent = words.length || hidden.size ? `${count} of ${nodes.length} nodes` : "";
    if (words.length) all("details.file, details.graph").forEach(part => {
      if (part.querySelector(".node:not([hidden])")) part.open = true;
    });
  }

  function show(target) {
    for (let part = target; part; part = part.parentElement)
      if (part.tagName === "DETAILS") part.open = true;
    const inner = target.querySelector(":scope > details");
    if (inner) inner.open = true;
    target.hidden = false;
    target.scrollIntoView({block: "center"});
    all(".here").forEach(other => other.classList.remove("here"));
    target.classList.add("here");
  }

  search.addEventListener("input", update);
  document.addEventListener("keydown", event => {
    if (event.key === "/" && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      update();
    }
  });
  document.addEventListener("change", event => {
    if (event.target.matches(".constants")) update();
  });
  document.addEventListener("click", event => {
    const link = event.target.closest("a[href^='#']");
    if (link) {
      const target = document.getElementById(link.getAttribute("href").slice(1));
      if (target) {
        event.preventDefault();
        show(target);
      }
      return;
    }
    const chip = event.target.closest(".chip");
    if (chip) {
      const key = chip.closest(".graph").id + " " + chip.dataset.op;
      const off = chip.getAttribute("aria-pressed") === "true";
      chip.setAttribute("aria-pressed", String(!off));
      off ? hidden.add(key) : hidden.delete(key);
      update();
    }
    const fold = event.target.closest("[data-fold]");
    if (fold) {
      const open = fold.dataset.fold === "open";
      all(".node:not([hidden]) > details").forEach(part => { part.open = open; });
    }
  });
  document.body.classList.add("scripted");
  update();
  if (location.hash) {
    const target = document.getElementById(location.hash.slice(1));
    if (target) show(target);
  }
})();
