"""The page in a browser: sorting, search, families, the sheet behind a number, links, and a screen of a phone."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from made_rows import MANUAL, NAS, Made, everything
from robnas.report.write import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVE = """
addEventListener("load", () => {  // an observer is told after those that came before it: by then the page's has looked
  const once = new ResizeObserver(() => { once.disconnect(); setTimeout(drive); });
  once.observe(document.querySelector("#matrix .scroll"));
});
function drive() {
  const out = {}, box = document.querySelector("#matrix .table"), table = box.querySelector("table");
  const rows = () => [...table.tBodies].flatMap(b => [...b.rows].filter(r => !r.classList.contains("block") && !r.hidden));
  const names = () => rows().map(r => r.cells[0].textContent);
  const heads = [...table.tHead.rows[0].cells], at = heads.findIndex(h => h.textContent.includes("PGD"));
  const button = heads[at].querySelector("button");
  const values = () => rows().map(r => parseFloat(r.cells[at].dataset.sort));
  out.before = names(); button.click(); out.down = values(); button.click(); out.up = values(); button.click(); out.after = names();
  const search = box.querySelector("input[type=search]");
  search.value = "pc darts"; search.dispatchEvent(new Event("input")); out.nothing = names();
  search.value = "resne"; search.dispatchEvent(new Event("input")); out.found = names();
  out.count = box.querySelector(".count").textContent;
  search.value = ""; search.dispatchEvent(new Event("input"));
  const chip = box.querySelector(".chip input"); chip.checked = false; chip.dispatchEvent(new Event("input")); out.manual = names();
  const sheet = document.getElementById("sheet");
  table.querySelector("a[data-runs]").click();
  out.sheet = [sheet.open, document.getElementById("sheet-title").textContent, sheet.querySelector("pre").textContent];
  sheet.querySelector("form button").click(); out.closed = !sheet.open;
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  out.twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  const led = [...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute("href").slice(1));
  out.dead = led.filter(id => !document.getElementById(id));
  out.wide = document.documentElement.scrollWidth > innerWidth;
  const scroll = box.querySelector(".scroll"), hint = box.querySelector(".more");
  const edges = () => [scroll.classList.contains("before"), scroll.classList.contains("after"), hint.hidden, hint.textContent];
  out.left = edges();
  scroll.scrollLeft = scroll.scrollWidth; scroll.dispatchEvent(new Event("scroll")); out.right = edges();
  out.room = [box.getBoundingClientRect().width, document.querySelector("#matrix h2").getBoundingClientRect().width];
  const pre = document.createElement("pre"); pre.id = "driven"; pre.textContent = JSON.stringify(out); document.body.append(pre);
}
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    page = report(everything(Made(tmp_path, NAS[:4] + MANUAL[:5])).write())[0]
    page.write_text(page.read_text().replace("</body>", f"<script>{DRIVE}</script></body>"))
    for width in (1400, 500):  # a headless window is no narrower
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--virtual-time-budget=3000"]
        done = subprocess.run([*words, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
        found = re.search(r'<pre id="driven">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, "the script did not come to its end"
        out = json.loads(html.unescape(found[1]))
        assert out["down"] == sorted(out["up"], reverse=True) != out["up"]
        assert out["before"] == out["after"] == ["AmoebaNet", "DARTS", "DrNAS", "ENAS", "BiT", "DenseNet", "DLA", "ResNet", "ResNeXt"]
        assert (out["nothing"], out["found"], out["count"]) == ([], ["ResNet", "ResNeXt"], "2 of 9 rows")
        assert out["manual"] == out["before"][4:]
        assert out["sheet"][0]
        assert out["sheet"][1].startswith("AmoebaNet · ")
        assert out["sheet"][2].startswith("robnas fit")
        assert out["closed"]
        assert (out["twice"], out["dead"], out["wide"]) == ([], [], False)
        assert out["left"][:3] == [False, True, False], "it goes on to the right, which is seen"
        assert re.fullmatch(r"\d+ more columns? →", out["left"][3])
        assert out["right"][:3] == [True, False, False]
        assert (out["room"][0] > out["room"][1] + 200) == (width == 1400), "the room beside the page is used"
