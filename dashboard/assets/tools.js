/* What buttons do: menus and dialogs, copies, pictures. A button says by an attribute what it does. */
"use strict";
(function () {
  var driftline = (window.driftline = window.driftline || {});

  function close() {
    closeMenus();
    if (document.querySelector(".mantine-Modal-content")) {
      driftline.set("search-dialog", { opened: false });
      driftline.set("keys-dialog", { opened: false });
    }
  }
  function closeMenus() {
    document.body.classList.remove("nav-open");
    var burger = document.getElementById("burger");
    if (burger) {
      burger.setAttribute("aria-expanded", "false");
    }
    document.querySelectorAll("details.menu[open]").forEach(function (menu) { menu.open = false; });
  }
  function copy(text, button) {
    var done = function (words) {
      driftline.say(words);
      var shown = button && button.querySelector("span:not(.i)");
      var target = shown || button;
      if (target && !target.dataset.was) {
        target.dataset.was = target.lastChild.textContent;
        target.lastChild.textContent = words;
        window.setTimeout(function () {
          target.lastChild.textContent = target.dataset.was;
          delete target.dataset.was;
        }, 1500);
      }
    };
    if (!navigator.clipboard) {
      /* Only pages of https and of this machine may copy. */
      window.prompt("Copy this:", text);
      return;
    }
    navigator.clipboard.writeText(text).then(
      function () { done("Copied"); },
      function () { done("The browser forbids copying"); });
  }
  /* The whole state: what the page says it shows, with absolute times, else the address. */
  function view() {
    var full = document.querySelector("main [data-view]");
    return full ? new URL(full.dataset.view, window.location.href).href : window.location.href;
  }
  function picture(id, file) {
    var box = document.getElementById(id);
    var plot = box && (box.classList.contains("js-plotly-plot") ? box : box.querySelector(".js-plotly-plot"));
    if (!plot || !window.Plotly) {
      return;
    }
    var paper = getComputedStyle(document.documentElement).getPropertyValue("--surface").trim();
    var layout = Object.assign({}, plot.layout, { paper_bgcolor: paper, plot_bgcolor: paper });
    window.Plotly.downloadImage(
      { data: plot.data, layout: layout, config: { showSendToCloud: false } },
      { format: "png", scale: 2, width: plot.clientWidth, height: plot.clientHeight,
        filename: String(file).replace(/[^\w.-]+/g, "-").slice(0, 80) || "driftline" });
  }
  document.addEventListener("click", function (event) {
    var target = event.target;
    if (!(target instanceof Element)) {
      return;
    }
    var menu = target.closest("details.menu");
    document.querySelectorAll("details.menu[open]").forEach(function (other) {
      if (other !== menu) {
        other.open = false;
      }
    });
    if (target.closest(".search-results a")) {
      close();
    }
    var opener = target.closest("[data-open]");
    if (opener) {
      driftline.open(opener.dataset.open);
    }
    if (target.closest("#burger")) {
      var isOpen = document.body.classList.toggle("nav-open");
      document.getElementById("burger").setAttribute("aria-expanded", String(isOpen));
      if (isOpen) {
        document.querySelector(".nav a").focus();
      }
    } else if (!target.closest(".nav")) {
      document.body.classList.remove("nav-open");
    }
    if (target.closest("#pause")) {
      driftline.pause();
    }
    if (target.closest("[data-retry]")) {
      driftline.set("retry", { data: Date.now() });
    }
    var link = target.closest("[data-copy-link]");
    if (link) {
      copy(view(), link);
    }
    var text = target.closest("[data-copy]");
    if (text) {
      copy(text.dataset.copy, text);
    }
    var image = target.closest("[data-png]");
    if (image) {
      picture(image.dataset.png, image.dataset.file);
      if (menu) {
        menu.open = false;
      }
    }
  });

  Object.assign(driftline, { close: close, closeMenus: closeMenus, copy: copy, view: view });
})();
