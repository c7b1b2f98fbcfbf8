/**
 * A newcomer's whole way in the browser: from no account to a claimed payment. Two other people contribute by the command line,
 * because influence is measured against other people's records.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openledger } from "./node";
import { fieldGuide } from "./records";
import { approve, expect, type Page, settled, test } from "./test";
import { installWallet, WALLET_NAME } from "./wallet";

const DATANET = "Field guide to local birds";
const MODEL = "newcomer-guide";
const RECORDS = 8;
/** Influence is measured against other people's records, so there must be some: development accounts and names. */
const OTHERS = [
  [6, "Grace"],
  [7, "Linus"],
] as const;
/** OPEN for a million tokens: an answer of a few tokens earns more than the claim's fee. */
const PRICE = { input: "1000", output: "5000" };
/** Training, indexing and settling take seconds here; this is for machines that are busy with more. */
const SLOW_MS = 60_000;

async function through(page: Page, label: string): Promise<void> {
  await page
    .getByRole("navigation", { name: "Main" })
    .getByRole("link", { name: label, exact: true })
    .click();
  await settled(page);
}

test("a newcomer contributes, trains, publishes, asks, checks and is paid", async ({
  page,
  setting,
  watched,
}) => {
  test.setTimeout(8 * SLOW_MS);
  const wallet = await installWallet(page, setting.rpc);
  const main = page.getByRole("main");

  await test.step("connect a wallet", async () => {
    await page.goto("/");
    await page.getByRole("link", { name: "Connect an account" }).click();
    await page.getByRole("button", { name: WALLET_NAME }).click();
    await expect(main.getByText("Connected with")).toBeVisible();
    await expect(main).toContainText(WALLET_NAME);
  });

  await test.step("sign in", async () => {
    await main.getByRole("button", { name: "Sign in" }).click();
    await approve(page, "Sign in");
    await expect(main.getByText("signed in", { exact: true })).toBeVisible();
  });

  await test.step("get coins", async () => {
    expect(await wallet.balance()).toBe(0n);
    await main.getByRole("button", { name: "Get coins" }).click();
    await expect(main.getByText(/^Received/)).toBeVisible();
    expect(await wallet.balance()).toBeGreaterThan(0n);
  });

  await test.step("create a Datanet", async () => {
    await through(page, "Datanets");
    await main
      .getByRole("link", { name: /create/i })
      .first()
      .click();
    await main.getByRole("textbox", { name: "Name" }).fill(DATANET);
    await main.getByRole("button", { name: "Create the Datanet" }).click();
    await approve(page, "Create the Datanet");
    await expect(page).toHaveURL(/\/datanets\/\d+$/, { timeout: SLOW_MS });
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(DATANET);
  });

  await test.step("contribute records", async () => {
    await main.getByRole("link", { name: "Contribute", exact: true }).click();
    const chooser = page.waitForEvent("filechooser");
    await main.getByRole("button", { name: "Choose files" }).click();
    const file = {
      name: "birds.jsonl",
      mimeType: "application/jsonl",
      buffer: Buffer.from(fieldGuide("Ada")),
    };
    await (await chooser).setFiles(file);
    await main.getByRole("button", { name: `Use ${RECORDS} records` }).click({ timeout: SLOW_MS });
    await main.getByRole("button", { name: "Contribute", exact: true }).click();
    await approve(page, "Commit the batch");
    await approve(page, "Agree to the licence", SLOW_MS);
    await approve(page, "Reveal the batch", SLOW_MS);
    await expect(main.getByText(`${RECORDS} records accepted`)).toBeVisible({ timeout: SLOW_MS });
  });

  await test.step("others contribute too", async () => {
    const datanet = /\/datanets\/(\d+)\//.exec(page.url())?.[1] ?? "";
    for (const [account, name] of OTHERS) {
      const path = join(setting.scratch, `${name}.jsonl`);
      writeFileSync(path, fieldGuide(name));
      await openledger(setting, account, "datanet", "contribute", datanet, path);
    }
  });

  await test.step("publish a snapshot", async () => {
    await main.getByRole("link", { name: "Take a snapshot", exact: true }).click();
    await main.getByRole("button", { name: /^Take and publish/ }).click();
    await approve(page, "Publish snapshot 1");
    await expect(main.getByText("published", { exact: true })).toBeVisible({ timeout: SLOW_MS });
  });

  await test.step("train a model", async () => {
    await main.getByRole("link", { name: "Train a model" }).click();
    await expect(main.getByRole("checkbox", { name: new RegExp(DATANET) })).toBeChecked();
    await main.getByRole("textbox", { name: "Name", exact: true }).fill(MODEL);
    await expect(main.getByRole("radio", { name: /quick/i })).toBeChecked();
    await main.getByRole("textbox", { name: "A million tokens in" }).fill(PRICE.input);
    await main.getByRole("textbox", { name: "A million tokens out" }).fill(PRICE.output);
    await main.getByRole("button", { name: "Start training", exact: true }).click();
    await expect(page).toHaveURL(/\/factory\/jobs\/\d+$/);
    await expect(page.getByRole("heading", { level: 1 })).toContainText(/done/i, { timeout: SLOW_MS });
  });

  await test.step("publish it with its price", async () => {
    await main.getByRole("button", { name: "Publish and serve" }).click();
    await approve(page, `Publish ${MODEL}`);
    await expect(main.getByText(`Published and served as ${MODEL}`)).toBeVisible({ timeout: SLOW_MS });
  });

  const receipt = await test.step("ask, and pay from a channel opened for it", async () => {
    await main.getByRole("link", { name: "Ask it something" }).click();
    await settled(page);
    await expect(main.getByRole("button", { name: /Model$/ })).toContainText(MODEL);
    await main.getByText("Settings of the answer").click();
    await main.getByRole("textbox", { name: "Longest answer" }).fill("24");
    await main
      .getByRole("textbox", { name: "Your question" })
      .fill("Ada asks which bird lives in the meadow");
    await expect(main.getByText(/^At most .* for up to 24 tokens/)).toBeVisible();
    await main.getByRole("button", { name: "Ask", exact: true }).click();
    await main.getByRole("button", { name: "Open and ask again" }).click();
    await approve(page, "Open the channel");
    await approve(page, "Pay for the answer", SLOW_MS);
    await expect(main.getByText(/^Cost /)).toBeVisible({ timeout: SLOW_MS });
    const href = await main.locator('a[href^="/explorer/receipt/0x"]').last().getAttribute("href");
    expect(href).not.toBeNull();
    return href as string;
  });

  await test.step("see which records shaped the answer", async () => {
    const sources = main.getByRole("region", { name: "Sources of this answer" });
    await sources.getByRole("button", { name: "Show the records" }).click();
    const drawer = page.getByRole("dialog", { name: "Records behind this answer" });
    // A random model's answer may be shaped by nobody in particular; the page must say one or the other.
    const record = drawer.getByRole("article").first();
    const nobody = drawer.getByText("No contributor's records stood out");
    await expect(record.or(nobody).first()).toBeVisible();
    if (await record.isVisible()) {
      await expect(record).toContainText(/Ada|Grace|Linus/);
      await expect(record).toContainText("proof holds");
    }
    await drawer.getByRole("button", { name: "Close" }).click();
  });

  await test.step("verify the answer", async () => {
    await main.getByRole("button", { name: "Verify", exact: true }).click();
    const checks = main.getByRole("listitem").filter({ has: page.getByText("holds", { exact: true }) });
    await expect(checks.first()).toBeVisible();
    await expect(main.getByText("fails", { exact: true })).toHaveCount(0);
  });

  await test.step("what is saved of it is checked on the command line", async () => {
    const saved = page.waitForEvent("download");
    await main.getByRole("button", { name: "Save the evidence" }).click();
    const file = await saved;
    expect(file.suggestedFilename()).toMatch(/^answer-[0-9a-f]{8}\.json$/);
    await expect(main.getByText(`receipt verify --replay ${file.suggestedFilename()}`)).toBeVisible();
    expect(await openledger(setting, 0, "receipt", "verify", await file.path())).toMatch(
      /^all \d+ checks hold$/m,
    );
  });

  await test.step("the receipt stands in a final epoch", async () => {
    await page.goto(receipt);
    await main.getByRole("button", { name: "Verify this receipt" }).click();
    await expect(main.getByText(/^Holds:/).first()).toBeAttached();
    await expect(main.getByText("Does not hold:")).toHaveCount(0);
    await main.locator('a[href^="/explorer/epoch/"]').first().click();
    await expect(main.getByText("final", { exact: true }).first()).toBeVisible({ timeout: SLOW_MS });
  });

  await test.step("claim what was earned", async () => {
    await through(page, "Earnings");
    await main.getByRole("button", { name: "Claim", exact: true }).click({ timeout: SLOW_MS });
    const before = await wallet.balance();
    await approve(page, "Claim earnings");
    await expect(main.getByText(/^Everything that is final is claimed/)).toBeVisible({ timeout: SLOW_MS });
    expect(await wallet.balance()).toBeGreaterThan(before);
  });

  expect(watched.refused).toEqual([]);
  expect(watched.errors).toEqual([]);
});
