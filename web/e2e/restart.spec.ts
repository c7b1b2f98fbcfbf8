/** A node that dies and comes back, as an open page sees it. */
import { openledger, type RunningNode, startNode } from "./node";
import { fieldGuide } from "./records";
import { seedDatanet } from "./seed";
import { actAs, expect, test } from "./test";

const SLOW_MS = 60_000;
const BUILDER = 3;

let node: RunningNode;

test.beforeAll(async () => {
  node = await startNode();
});

test.afterAll(async () => {
  await node.stop();
});

test("a job goes on after the node was killed, and its page with it", async ({ page }) => {
  test.setTimeout(4 * SLOW_MS);
  const { id } = await seedDatanet(node, "Field guide", fieldGuide("Ada"));
  await openledger(node, BUILDER, "datanet", "snapshot", String(id));
  await actAs(page, BUILDER);
  await page.goto(`${node.gateway}/factory/new?datanet=${id}`);
  const main = page.getByRole("main");
  await expect(main.getByRole("checkbox", { name: /Field guide/ })).toBeChecked();
  await main.getByRole("textbox", { name: "Name", exact: true }).fill("long-lived");
  await main.getByText("How long and how fast it learns").click();
  await main.getByRole("textbox", { name: "Passes over the data" }).fill("1000");
  await main.getByRole("button", { name: /^Start training/ }).click();
  await expect(page).toHaveURL(/\/factory\/jobs\/\d+$/);

  const steps = async () =>
    Number((await main.getByText(/^[\d,]+ of 1,000$/).textContent())?.replace(/,| of.*/g, ""));
  await expect.poll(steps, { timeout: SLOW_MS }).toBeGreaterThan(0);
  await node.killAndRestart();
  // Whatever the page had shown may have been taken back to the last checkpoint; it goes on from there by itself.
  const after = await steps();
  await expect.poll(steps, { timeout: SLOW_MS }).toBeGreaterThan(after);
  await main.getByRole("button", { name: "Stop and save" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Stop and save" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("done", { timeout: SLOW_MS });
});
