/** Each page as people meet it: with content, in light, dark and narrow, by keyboard and screen reader. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { pagesOf, type Seeded, seed } from "./seed";
import { setting } from "./setup";
import { expect, settled, test, violations } from "./test";

const SHOTS = fileURLToPath(new URL("../test-results/shots/", import.meta.url));
const LOOKS = [
  { look: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { look: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { look: "narrow", colorScheme: "light", viewport: { width: 360, height: 740 } },
] as const;
const NAMES = Object.keys(pagesOf({} as Seeded));

let pages: Record<string, string> = {};

test.beforeAll(async () => {
  test.setTimeout(300_000);
  mkdirSync(SHOTS, { recursive: true });
  pages = pagesOf(await seed(setting()));
});

for (const name of NAMES) {
  test(`${name} is readable for everyone and breaks nothing`, async ({ page, watched }) => {
    for (const { look, colorScheme, viewport } of LOOKS) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize(viewport);
      await page.goto(pages[name] ?? "");
      await settled(page);
      const shot = `${SHOTS}${name}-${look}.png`;
      await page.screenshot({ path: shot, fullPage: true, animations: "disabled" });
      expect.soft(await violations(page), `${name}, ${look}`).toEqual([]);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect.soft(wide, `pixels that ${name} is wider than the window, ${look}`).toBeLessThanOrEqual(0);
    }
    expect(watched.refused).toEqual([]);
    // The price of a question is asked for by an unpaid one, which the node answers with 402.
    expect(watched.errors.filter((text) => !text.includes(" 402 "))).toEqual([]);
  });
}
