/** An answer that is stopped while the node is in the middle of it: what is kept, what it costs, what its receipt proves. */
import { openledger, type RunningNode, startNode } from "./node";
import { type Seeded, seed } from "./seed";
import { actAs, agree, expect, type Page, settled, test } from "./test";

const PAYER = 9;
/** The longest answer that the model's context has room for behind a short question. */
const LONG_TOKENS = 400;

let node: RunningNode;
let seeded: Seeded;

test.beforeAll(async () => {
  test.setTimeout(300_000);
  node = await startNode("deep");
  seeded = await seed(node);
});

test.afterAll(async () => {
  await node.stop();
});

const messages = (page: Page) => page.getByRole("main").getByRole("list", { name: "Messages" });

test("an answer that is stopped in the middle is kept as far as it is charged, and its receipt verifies", async ({
  page,
  watched,
}) => {
  test.setTimeout(180_000);
  await actAs(page, PAYER);
  await page.goto(`${node.gateway}/chat/${seeded.model}`);
  await settled(page);
  const main = page.getByRole("main");
  await main.getByText("Settings of the answer").click();
  await main.getByRole("textbox", { name: "Longest answer" }).fill(String(LONG_TOKENS));
  await main.getByRole("textbox", { name: "Your question" }).fill("Which bird lives in the meadow?");
  await main.getByRole("button", { name: "Ask", exact: true }).click();
  await messages(page).getByRole("button", { name: "Open and ask again" }).click();
  await agree(page, "Open the channel");
  // From here on the answer takes some seconds, whatever the machine's speed: it is stopped while the node writes it.
  const swift = node.slow();
  const answer = messages(page).getByRole("listitem").nth(1);
  try {
    await agree(page, "Pay for the answer");
    await expect(answer.getByText("Writing …")).toBeVisible({ timeout: 60_000 });
    await answer.getByRole("button", { name: "Stop" }).click();
    await expect(answer.getByText("Stopped. Waiting for what it cost …")).toBeVisible();
  } finally {
    swift();
  }

  // The part is kept, and says how much of it there is and that no more is charged.
  const end = answer.getByText(/^You stopped the answer here, after \d+ tokens?; only these are charged\.$/);
  await expect(end).toBeVisible();
  const tokens = Number(/after (\d+)/.exec((await end.textContent()) ?? "")?.[1]);
  expect(tokens).toBeGreaterThan(0);
  expect(tokens).toBeLessThan(LONG_TOKENS);
  await expect(answer.getByText(/^Cost /)).toContainText(` in, ${tokens} out`);

  // All checks can be made once the receipt's epoch is on chain; the first of them is that the receipt names just this text.
  await expect(async () => {
    await answer.getByRole("button", { name: /^Verify( again)?$/ }).click();
    await expect(answer.getByText(/^All \d+ checks hold\.$/)).toBeVisible({ timeout: 1000 });
  }).toPass();
  const href = await answer.locator('a[href^="/explorer/receipt/0x"]').getAttribute("href");
  const hash = href?.split("/").at(-1) ?? "";
  const bundle = await fetch(`${node.gateway}/v1/receipts/${hash}`);
  expect(await bundle.json()).toMatchObject({ receipt: { tokensOut: tokens } });
  expect(await openledger(node, PAYER, "receipt", "verify", hash)).toMatch(/^all \d+ checks hold$/m);

  // Answered again and not stopped, it costs more.
  const charged = async () =>
    Number(/^Cost ([\d.]+)/.exec((await answer.getByText(/^Cost /).textContent()) ?? "")?.[1]);
  const part = await charged();
  await answer.getByRole("button", { name: "Answer again" }).click();
  await agree(page, "Pay for the answer");
  await expect(messages(page).getByText("answer 2 of 2")).toBeVisible();
  await expect(answer.getByText(`, ${LONG_TOKENS} out`)).toBeVisible({ timeout: 60_000 });
  expect(await charged()).toBeGreaterThan(part);
  expect(watched.errors).toEqual([]);
});
