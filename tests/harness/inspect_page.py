"""Opens a page in headless Chromium and writes what is there as JSON.

usage: inspect_page.py PAGE RESULT WIDTH...

Chromedriver is spoken to over its HTTP protocol (https://www.w3.org/TR/webdriver/) on the loopback interface.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

READ = """
const plots = {};
for (const [name, plot] of Object.entries(window.faultline.plots)) {
  const labels = plot.getLabels();
  plots[name] = {};
  labels.forEach((label, column) => {
    plots[name][label] = [...Array(plot.numRows()).keys()].map((row) => plot.getValue(row, column));
  });
}
const text = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent.trim());
const links = [...document.querySelectorAll("a")].map((a) => a.getAttribute("href"));
return {
  plots: plots,
  skips: window.faultline.plots.scale.annotations().map((a) => [a.series, a.x]),
  matrix: [...document.querySelectorAll("#matrix tr")].map((row) => [...row.cells].map((c) => c.innerText.trim())),
  headline: text("h1").join(), findings: text(".finding"), headings: text("h2"), articles: text("article h3"),
  text: document.body.textContent, links: links,
  broken_links: links.filter((href) => !href.startsWith("#") || !document.getElementById(href.slice(1))),
  scripts: document.scripts.length, images: document.images.length, harmed: "harmed" in window,
  resources: performance.getEntriesByType("resource").map((e) => e.name),
};
"""

# Rows and labels that dygraphs writes into the page when the mouse is over a point, then a shared zoom.
HOVER_AND_ZOOM = """
const plots = window.faultline.plots;
for (const plot of Object.values(plots)) plot.setSelection(4);
const legends = [...document.querySelectorAll(".dygraph-legend")].map((e) => e.textContent);
plots.loss.updateOptions({dateWindow: [2, 5]});
const windows = Object.values(plots).map((plot) => plot.xAxisRange());
plots.loss.resetZoom();
return {legends: legends, windows: windows, images: document.images.length, harmed: "harmed" in window};
"""


class Browser:
    def __init__(self, driver_url, folder):
        self.url = driver_url
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", "--user-data-dir=" + folder],
        }
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}})
        self.url += "/session/" + answer["sessionId"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {json.load(error)['value']['message']}") from None

    def script(self, text):
        return self.call("POST", "/execute/sync", {"script": text, "args": []})

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def set_width(self, width):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                      mobile=False)

    def open(self, page):
        self.call("POST", "/url", {"url": pathlib.Path(page).resolve().as_uri()})

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def requests(self):
        """What pages asked for; chrome:// is the browser's own first tab."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
        return sorted(url for url in urls if not url.startswith(("data:", "chrome://")))

    def close(self):
        self.call("DELETE", "")


@contextlib.contextmanager
def browser():
    """Chromedriver picks a free port and prints it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL, env={**os.environ, "HOME": folder})
        try:
            port = next(line.rstrip(". \n").split()[-1] for line in driver.stdout
                        if "started successfully on port" in line)
            opened = Browser("http://127.0.0.1:" + port, folder + "/profile")
            try:
                yield opened
            finally:
                opened.close()
        finally:
            driver.terminate()
            driver.wait()


def inspect(page, widths):
    with browser() as b:
        b.set_width(widths[0])
        b.open(page)
        seen = b.script(READ)
        seen["after"] = b.script(HOVER_AND_ZOOM)
        seen["page_widths"] = {}
        for width in widths:
            b.set_width(width)
            b.open(page)
            b.script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            seen["page_widths"][str(width)] = b.script("return document.documentElement.scrollWidth")
        seen["console"] = b.log("browser")
        seen["requests"] = b.requests()
        return seen


if __name__ == "__main__":
    pathlib.Path(sys.argv[2]).write_text(json.dumps(inspect(sys.argv[1], [int(w) for w in sys.argv[3:]])))
