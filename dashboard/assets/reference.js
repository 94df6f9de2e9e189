/* The table of a reference's features: a row each, drawn from data; cells carry their column's
   name, for the cards of a phone. */
"use strict";
(function () {
  function cell(label, css, inside) {
    var made = window.driftline.element("td", css);
    made.dataset.label = label;
    made.append(inside);
    return made;
  }
  function named(row) {
    var element = window.driftline.element, head = element("th");
    var name = element("span", "name", row.name);
    head.scope = "row";
    name.title = row.title;
    if (row.href) {
      var link = element("a", "quiet");
      link.href = row.href;
      link.dataset.go = "";
      link.append(name);
      head.append(link);
    } else {
      head.append(name);
    }
    head.append(element("div", "sub", row.sub));
    return head;
  }
  function shape(row) {
    var box = window.driftline.element("span", "shape-box");
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", row.said);
    if (row.shape) {
      var drawn = window.driftline.element("i", "shape");
      drawn.style.clipPath = row.shape;
      box.append(drawn);
    }
    return box;
  }
  function limit(given) {
    var element = window.driftline.element;
    var made = element("span", given.icon ? "" : given.css);
    if (given.icon) {
      var status = element("span", "status idle");
      status.append(window.driftline.icon(given.icon), element("span", "", given.word));
      made.append(status);
    } else {
      made.textContent = given.word;
    }
    made.title = given.title;
    return made;
  }
  function line(row) {
    var element = window.driftline.element, made = element("tr"), values = element("span", "values", row.values);
    values.title = row.said;
    made.append(
      named(row),
      cell("Distribution", "", shape(row)),
      cell("Values", "", values),
      cell("Groups", "num", row.groups),
      cell("Missing", "num", row.missing));
    row.limits.forEach(function (given) {
      var box = cell(given.label, "num", limit(given));
      if (given.shows) box.append(element("div", "sub", given.shows));
      made.append(box);
    });
    return made;
  }
  window.driftlineReference = {
    rows: function (data) {
      window.driftline.draw("reference-rows", Array.isArray(data) ? data : [], line, null);
      return window.dash_clientside.no_update;
    },
  };
})();
