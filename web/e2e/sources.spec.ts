/** What an answer quotes: marked in it, and traced to the records that hold it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openledger } from "./node";
import { fieldGuide } from "./records";
import { seedDatanet, seedModel } from "./seed";
import { setting } from "./setup";
import { actAs, agree, expect, settled, test } from "./test";

/** Development accounts. */
const [PAYER, OTHER] = [8, 6];
const MODEL = "learnt-by-heart";
/** Enough for the tiny model to say what its records say. */
const LEARN = { epochs: 200, learning_rate: 0.01 };

test.beforeAll(async () => {
  test.setTimeout(300_000);
  const node = setting();
  const { id } = await seedDatanet(node, "Learnt by heart", fieldGuide("Barbara"));
  const file = join(node.scratch, "others.jsonl");
  writeFileSync(file, fieldGuide("Edith"));
  await openledger(node, OTHER, "datanet", "contribute", String(id), file);
  await seedModel(node, MODEL, id, LEARN);
});

test("passages that an answer quotes are pressed by mouse and by keyboard, and lead to their records", async ({
  page,
  watched,
}) => {
  test.setTimeout(120_000);
  await actAs(page, PAYER);
  await page.goto(`/chat/${MODEL}`);
  await settled(page);
  const main = page.getByRole("main");
  const messages = main.getByRole("list", { name: "Messages" });
  await main.getByText("Settings of the answer").click();
  await main.getByRole("textbox", { name: "Longest answer" }).fill("64");
  await main
    .getByRole("textbox", { name: "Your question" })
    .fill("Barbara asks which bird lives in the meadow and how it makes a living there");
  await main.getByRole("button", { name: "Ask", exact: true }).click();
  await messages.getByRole("button", { name: "Open and ask again" }).click();
  await agree(page, "Open the channel");
  await agree(page, "Pay for the answer");
  const sources = messages.getByRole("region", { name: "Sources of this answer" });
  await expect(sources).toBeVisible({ timeout: 60_000 });
  await expect(sources).toContainText(/^Quoted: \d+ passages? \(\d+ % of the text\) stands? word for word/);

  const passages = messages.getByRole("button").and(messages.locator("mark"));
  const drawer = page.getByRole("dialog", { name: "Records behind this answer" });
  const count = await passages.count();
  expect(count).toBeGreaterThan(0);
  for (let at = 0; at < count; at += 1) {
    const passage = passages.nth(at);
    const quoted = ((await passage.textContent()) ?? "").trim();
    await passage.click();
    await expect(drawer.getByRole("heading", { name: /^Quoted passages/ })).toBeVisible();
    await expect(drawer.getByRole("blockquote").filter({ hasText: quoted }).first()).toBeVisible();
    // The records named hold the passage, and stand in the snapshot that the model was trained on.
    const record = drawer.getByRole("article").first();
    await expect(record).toContainText(quoted);
    await expect(record).toContainText("proof holds");
    await expect(record).toContainText("on which the model was trained");
    await page.keyboard.press("Escape");
    await expect(drawer).toBeHidden();
  }

  // The same without a mouse; the reader is back at the passage afterwards.
  for (const key of ["Enter", "Space"]) {
    await passages.first().focus();
    await page.keyboard.press(key);
    await expect(drawer.getByRole("article").first()).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(drawer).toBeHidden();
    await expect(passages.first()).toBeFocused();
  }
  expect(watched.errors).toEqual([]);
});
