/** What contributors write is text: it runs nothing, loads nothing, and leads nowhere by itself. */
import { seedDatanet } from "./seed";
import { setting } from "./setup";
import { expect, type Page, settled, test } from "./test";

const NAME = `<img src=x onerror=window.broken=1><script>broken=2</script>`;
const TEXTS = [
  `<script>window.broken=3</script> <b>not bold</b> in the first record of a hostile person`,
  `[press me](javascript:window.broken=4) and ![a picture](https://example.invalid/track.png) of nothing at all`,
  `<iframe src="https://example.invalid/"></iframe><svg onload="window.broken=5"> draws no frame anywhere`,
];
const RECORDS = TEXTS.map((text, at) => JSON.stringify({ prompt: text, response: `answer ${at}: ${text}` }))
  .concat("")
  .join("\n");

let datanet = 0;

test.beforeAll(async () => {
  datanet = (await seedDatanet(setting(), NAME, RECORDS)).id;
});

async function harmless(page: Page): Promise<void> {
  expect(await page.evaluate(() => (window as unknown as { broken?: number }).broken)).toBeUndefined();
  const main = page.getByRole("main");
  await expect(main.locator("script, iframe, b, img:not([alt=''])")).toHaveCount(0);
  await expect(main.locator("a[href^='javascript:' i], [onerror], [onload]")).toHaveCount(0);
}

test("names and records of a hostile Datanet are shown as text", async ({ page, watched }) => {
  const foreign: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("example.invalid")) foreign.push(request.url());
  });
  const main = page.getByRole("main");
  for (const path of ["", "/contributors", "/snapshots", "/models", "/contribute"]) {
    await page.goto(`/datanets/${datanet}${path}`);
    await settled(page);
    await expect(page.getByRole("heading", { level: 1 })).toContainText(NAME);
    await harmless(page);
  }
  await page.goto("/datanets");
  await settled(page);
  await expect(main.getByText(NAME).first()).toBeVisible();
  await harmless(page);

  await page.goto(`/datanets/${datanet}`);
  for (const text of TEXTS) await expect(main.getByText(text).first()).toBeVisible();
  await main
    .getByRole("link", { name: /not bold/ })
    .first()
    .click();
  await expect(page).toHaveURL(/\/records\/0x/);
  await settled(page);
  await expect(main.getByText(TEXTS[0] ?? "").first()).toBeVisible();
  await harmless(page);

  expect(foreign).toEqual([]);
  expect(watched.refused).toEqual([]);
  expect(watched.errors).toEqual([]);
});

test("an address that holds a script is shown as text", async ({ page }) => {
  const script = encodeURIComponent("<script>window.broken=6</script>");
  for (const path of ["models", "explorer/address", "explorer/tx", "earnings", "chat"]) {
    await page.goto(`/${path}/${script}`);
    await settled(page);
    await harmless(page);
  }
});

test("the policy forbids what the pages never do", async ({ page }) => {
  const response = await page.goto("/");
  const policy = response?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain("unsafe");
  await settled(page);
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.broken = 7";
    document.head.append(script);
    return (window as unknown as { broken?: number }).broken ?? null;
  });
  expect(ran).toBeNull();
});
