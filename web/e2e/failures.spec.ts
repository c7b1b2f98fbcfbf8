/** Each page while the node fails: it says what is wrong and how to go on, and comes back. */
import { pagesOf, type Seeded, seed } from "./seed";
import { setting } from "./setup";
import { expect, type Locator, type Page, settled, test } from "./test";

/** Pages that show nothing which the node has to be asked for. */
const STATIC = ["nowhere", "datanet-new", "account", "home", "earnings"];
const NAMES = Object.keys(pagesOf({} as Seeded));
/** Reads are tried three times, with growing pauses, before the page says that they failed. */
const TRIES_MS = 20_000;
/** By so much the page's clock is put forward until the pauses are over. */
const FORWARD_MS = 1000;

let pages: Record<string, string> = {};

test.beforeAll(async () => {
  test.setTimeout(300_000);
  pages = pagesOf(await seed(setting()));
});

test.beforeEach(async ({ page }) => {
  await page.clock.install();
});

/** Sees the failure without waiting for the pauses between tries. */
async function seen(page: Page, what: Locator): Promise<void> {
  const look = async () => {
    await page.clock.fastForward(FORWARD_MS);
    return what.isVisible();
  };
  await expect.poll(look, { timeout: TRIES_MS, intervals: [50] }).toBe(true);
}

async function saysWhatIsWrong(page: Page): Promise<void> {
  const main = page.getByRole("main");
  await seen(page, main.getByRole("alert").first());
  await expect(main.getByRole("heading").first()).toBeVisible();
  await expect(main.getByRole("button").or(main.getByRole("link")).first()).toBeVisible();
}

const failed = {
  status: 500,
  contentType: "application/json",
  body: '{"error":{"message":"the disk is on fire","type":"server_error","code":"internal","param":null}}',
};
const ofStatus = /\/v1\/status$/;

for (const name of NAMES.filter((one) => !STATIC.includes(one))) {
  test(`${name} says so when the node fails, and comes back`, async ({ page, setting: { rpc } }) => {
    await page.route(/\/v1\//, (route) =>
      ofStatus.test(route.request().url()) ? route.continue() : route.fulfill(failed),
    );
    await page.route(`${rpc}/**`, (route) => route.abort());
    await page.goto(pages[name] ?? "");
    await saysWhatIsWrong(page);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.reload();
    await settled(page);
    await expect(page.getByRole("main").getByRole("alert")).toHaveCount(0);
  });
}

test("without any answer the frame stays, and a button tries again", async ({ page }) => {
  await page.route(/\/v1\//, (route) => route.fulfill(failed));
  for (const path of ["/", "/account", pages.datanet ?? ""]) {
    await page.goto(path);
    await seen(page, page.getByRole("heading", { name: "The node cannot be reached" }));
    await expect(page.getByRole("banner")).toBeVisible();
  }
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.getByRole("button", { name: "Try again" }).click();
  await settled(page);
  await expect(page.getByRole("heading", { name: "The node cannot be reached" })).toHaveCount(0);
});

test("a page opened while offline says so and does not turn blank", async ({ page, context }) => {
  await page.goto("/");
  await settled(page);
  const models = page
    .getByRole("navigation", { name: "Main" })
    .getByRole("link", { name: "Models", exact: true });
  await context.setOffline(true);
  await models.click();
  await saysWhatIsWrong(page);
  await context.setOffline(false);
  await page.reload();
  await settled(page);
  await expect(page.getByRole("heading", { level: 1, name: "Models" })).toBeVisible();
});
