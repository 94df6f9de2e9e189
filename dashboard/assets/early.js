/* What Dash asks first was asked while its libraries were loading: it is handed over once. */
"use strict";
(function () {
  var fetched = window.fetch, early = window.driftlineEarly || {};
  window.driftlineEarly = null;
  window.fetch = function (resource) {
    var url = String(resource && resource.url ? resource.url : resource);
    var name = url.replace(/^.*\//, ""), answer = early[name], again = arguments;
    if (!answer) {
      return fetched.apply(this, arguments);
    }
    delete early[name];
    return answer.catch(function () { return fetched.apply(window, again); });
  };
})();
