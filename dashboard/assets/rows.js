/* Rows that scripts draw from data: a hundred of them as components of Dash make a page wait. */
"use strict";
(function () {
  var driftline = (window.driftline = window.driftline || {});

  function element(tag, className, text) {
    var made = document.createElement(tag);
    made.className = className || "";
    made.textContent = text || "";
    return made;
  }
  function icon(name) {
    var made = element("span", "i i-" + name);
    made.style.width = made.style.height = "14px";
    made.setAttribute("aria-hidden", "true");
    return made;
  }
  /* What did not change stays, with its focus; `keys` name what a row shows, if not all of it. */
  function draw(id, rows, make, keys) {
    var box = document.getElementById(id), had = {};
    if (!box) {
      return;
    }
    Array.prototype.forEach.call(box.children, function (child) { had[child.dataset.drawn] = child; });
    var wanted = rows.map(function (row) {
      var key = JSON.stringify(keys ? keys.map(function (name) { return row[name]; }) : row);
      var made = had[key] || make(row);
      made.dataset.drawn = key;
      return made;
    });
    var isSame = wanted.length === box.children.length &&
      wanted.every(function (made, at) { return made === box.children[at]; });
    if (!isSame) {
      var focused = box.contains(document.activeElement) ? document.activeElement : null;
      box.replaceChildren.apply(box, wanted);
      if (focused && box.contains(focused)) {
        focused.focus({ preventScroll: true });
      }
    }
  }

  Object.assign(driftline, { draw: draw, element: element, icon: icon });
})();
