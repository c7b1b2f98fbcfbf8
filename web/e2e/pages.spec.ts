/** Each page as people meet it: with content, in light, dark, narrow and wide, by keyboard and screen reader. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { pagesOf, type Seeded, seed } from "./seed";
import { setting } from "./setup";
import { actAs, expect, type Page, settled, test, violations } from "./test";

const SHOTS = fileURLToPath(new URL("../test-results/shots/", import.meta.url));
const USUAL = { width: 1280, height: 900 };
const LOOKS = [
  { look: "light", colorScheme: "light", viewport: USUAL, rules: [] },
  // In the dark the same page has other colours, and nothing else.
  { look: "dark", colorScheme: "dark", viewport: USUAL, rules: ["color-contrast"] },
  { look: "narrow", colorScheme: "light", viewport: { width: 360, height: 740 }, rules: [] },
] as const;
type Look = (typeof LOOKS)[number];
/** Widths at which nothing may stand out of the window. */
const WIDTHS = [360, 768, 1920];
const NAMES = Object.keys(pagesOf({} as Seeded));
/** Pages that show more, or something else, to whoever has an account. */
const PERSONAL = [
  "home",
  "account",
  "datanet-new",
  "datanet-contribute",
  "datanet-snapshots",
  "factory-new",
  "chat",
  "earnings",
];
/** The seeded Datanet's owner, among the development accounts. */
const OWNER = 3;

let pages: Record<string, string> = {};

test.beforeAll(async () => {
  test.setTimeout(300_000);
  mkdirSync(SHOTS, { recursive: true });
  pages = pagesOf(await seed(setting()));
});

/** Pixels by which the page is wider than its window. */
const excess = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Pixels of page below its footer: something invisible stands there. */
const below = (page: Page) =>
  page.evaluate(() => {
    const footer = document.querySelector("footer")?.getBoundingClientRect().bottom ?? 0;
    return Math.round(document.documentElement.scrollHeight - window.scrollY - footer);
  });

/** Links and buttons of the header that reach into the one beside them. */
const covered = (page: Page) =>
  page.evaluate(() => {
    const parts = [...document.querySelectorAll("header a, header button")].filter((part) =>
      part.checkVisibility(),
    );
    const boxes = parts.map((part) => part.getBoundingClientRect());
    return parts
      .slice(1)
      .filter((_, at) => (boxes[at]?.right ?? 0) > (boxes[at + 1]?.left ?? 0))
      .map((part) => part.textContent);
  });

async function look(page: Page, name: string, looks: readonly Look[] = LOOKS): Promise<void> {
  await page.goto(pages[name.replace(/^own-/, "")] ?? "");
  for (const { look, colorScheme, viewport, rules } of looks) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    await settled(page);
    await page.screenshot({ path: `${SHOTS}${name}-${look}.png`, fullPage: true, animations: "disabled" });
    expect.soft(await violations(page, ...rules), `${name}, ${look}`).toEqual([]);
  }
  for (const width of WIDTHS) {
    await page.setViewportSize({ ...USUAL, width });
    expect.soft(await excess(page), `pixels that ${name} is wider than ${width}`).toBeLessThanOrEqual(0);
    // The frame fills the window a moment after the window changes.
    await expect
      .poll(() => below(page), `pixels below the footer of ${name} at ${width}`)
      .toBeLessThanOrEqual(1);
    expect.soft(await covered(page), `parts of the header that touch, on ${name} at ${width}`).toEqual([]);
  }
  expect.soft(await wordless(page), `drawings of ${name} without their numbers as text`).toEqual([]);
}

/** Drawings that have no table or list of what they show beside them. */
const wordless = (page: Page) =>
  page.evaluate(() =>
    [
      ...document.querySelectorAll(
        "main canvas, main svg:not([aria-hidden]), main [role=radiogroup][aria-orientation=horizontal]",
      ),
    ]
      .filter((drawing) => {
        const place = drawing.closest("figure, section, div.min-w-0");
        return place?.querySelector("details td, details li, table td") == null;
      })
      .map((drawing) => drawing.outerHTML.slice(0, 120)),
  );

for (const name of NAMES) {
  test(`${name} is readable for everyone and breaks nothing`, async ({ page, watched }) => {
    await look(page, name);
    expect(watched.refused).toEqual([]);
    expect(watched.errors).toEqual([]);
  });
}

for (const name of PERSONAL) {
  test(`${name} is readable for everyone with an account, too`, async ({ page, watched }) => {
    await actAs(page, OWNER);
    const [light, , narrow] = LOOKS;
    await look(page, `own-${name}`, [light, narrow]);
    expect(watched.refused).toEqual([]);
    expect(watched.errors).toEqual([]);
  });
}

test("how soon the first page can be used is told", async ({ browser, setting: { site } }, info) => {
  const times: number[] = [];
  for (let opened = 0; opened < 3; opened += 1) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const begun = performance.now();
    await page.goto(site, { waitUntil: "commit" });
    await expect(page.getByRole("link", { name: "Connect an account" })).toBeVisible();
    times.push(Math.round(performance.now() - begun));
    await context.close();
  }
  const description = `first page usable after ${times.join(", ")} ms, each in a fresh browser context`;
  info.annotations.push({ type: "measured", description });
  process.stdout.write(`    ${description}\n`);
});
