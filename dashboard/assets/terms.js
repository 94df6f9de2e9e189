/* A word with an explanation: a press, Enter or a mouse that rests on it shows it in one card. */
"use strict";
(function () {
  var REST_MS = 250, LEAVE_MS = 200, GAP_PX = 6, EDGE_PX = 12;
  var card = null, shownBy = null, isPinned = false, timer = null;

  function made() {
    if (!card) {
      card = document.createElement("div");
      card.id = "term-card";
      card.className = "term-card";
      card.setAttribute("role", "tooltip");
      card.hidden = true;
      card.addEventListener("pointerenter", function () { window.clearTimeout(timer); });
      card.addEventListener("pointerleave", leave);
      document.body.append(card);
    }
    return card;
  }
  function hide() {
    window.clearTimeout(timer);
    if (shownBy) {
      shownBy.removeAttribute("aria-describedby");
      shownBy.setAttribute("aria-expanded", "false");
      shownBy = null;
      card.hidden = true;
    }
  }
  function show(word, pinned) {
    if (shownBy !== word) {
      hide();
    }
    window.clearTimeout(timer);
    var box = made();
    shownBy = word;
    isPinned = pinned;
    box.textContent = word.dataset.term;
    box.hidden = false;
    word.setAttribute("aria-describedby", box.id);
    word.setAttribute("aria-expanded", "true");
    if (pinned && window.driftline) {
      window.driftline.say(word.dataset.term);
    }
    var at = word.getBoundingClientRect(), width = box.offsetWidth, height = box.offsetHeight;
    var left = Math.min(at.left, document.documentElement.clientWidth - width - EDGE_PX);
    var below = at.bottom + GAP_PX;
    var isRoom = below + height <= window.innerHeight - EDGE_PX;
    box.style.left = Math.max(EDGE_PX, left) + "px";
    box.style.top = Math.max(EDGE_PX, isRoom ? below : at.top - GAP_PX - height) + "px";
  }
  function leave() {
    window.clearTimeout(timer);
    if (shownBy && !isPinned) {
      timer = window.setTimeout(hide, LEAVE_MS);
    }
  }
  function term(event) {
    return event.target instanceof Element ? event.target.closest("[data-term]") : null;
  }

  document.addEventListener("click", function (event) {
    var word = term(event);
    if (word && !(word === shownBy && isPinned)) {
      show(word, true);
    } else if (word || (card && !card.contains(event.target))) {
      hide();
    }
  });
  document.addEventListener("pointerover", function (event) {
    var word = term(event);
    if (!word || event.pointerType !== "mouse" || (shownBy && isPinned)) {
      return;
    }
    window.clearTimeout(timer);
    if (word !== shownBy) {
      timer = window.setTimeout(function () { show(word, false); }, REST_MS);
    }
  });
  document.addEventListener("pointerout", function (event) {
    if (term(event)) {
      leave();
    }
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") {
      hide();
    }
  });
  document.addEventListener("focusout", function (event) {
    if (term(event) && term(event) === shownBy) {
      hide();
    }
  });
  window.addEventListener("scroll", hide, true);
  window.addEventListener("resize", hide);
  /* Its part of the page was drawn anew, or another page came: the card has nothing to explain. */
  new MutationObserver(function () {
    if (shownBy && !document.contains(shownBy)) {
      hide();
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
