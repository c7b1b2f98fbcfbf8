/** Pages of a node on which nothing has happened yet: each says why it is empty, and where to begin. */
import { type RunningNode, startNode } from "./node";
import { actAs, expect, settled, test } from "./test";

const PAGES: readonly [string, string, string][] = [
  ["/datanets", "There is no Datanet yet", "/datanets/new"],
  ["/factory", "Nothing was trained here yet", "/factory/new"],
  ["/factory/new", "There is no Datanet yet", "/datanets/new"],
  ["/models", "No model is published yet", "/factory/new"],
  ["/chat", "No model is published on this node yet", "/factory/new"],
  ["/earnings", "Nothing earned yet", "/datanets"],
];

let fresh: RunningNode;

test.beforeAll(async () => {
  fresh = await startNode();
});

test.afterAll(async () => {
  await fresh.stop();
});

test("a page without anything says why, and leads to the first step", async ({ page, watched }) => {
  await actAs(page, 3);
  for (const [path, why, to] of PAGES) {
    await page.goto(`${fresh.gateway}${path}`);
    await settled(page);
    const main = page.getByRole("main");
    await expect(main.getByText(why)).toBeVisible();
    await expect(main.locator(`a[href="${to}"]`).first()).toBeVisible();
  }
  expect(watched.errors).toEqual([]);
});
