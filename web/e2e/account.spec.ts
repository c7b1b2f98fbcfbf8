/** Wallets and accounts as people bring them. */
import { seed } from "./seed";
import { setting } from "./setup";
import { actAs, expect, settled, test } from "./test";
import { installWallet, WALLET_NAME } from "./wallet";

test("a wallet on another chain is switched in one press, and the chain added where it is unknown", async ({
  page,
  setting: { rpc, gateway },
  watched,
}) => {
  const wallet = await installWallet(page, rpc, { elsewhere: 1 });
  const { chain } = (await (await fetch(`${gateway}/v1/status`)).json()) as {
    chain: { id: number; name: string };
  };
  await page.goto("/account");
  await page.getByRole("button", { name: WALLET_NAME }).click();
  const main = page.getByRole("main");
  await expect(main.getByText(`${WALLET_NAME} is on another chain`)).toBeVisible();
  await main.getByRole("button", { name: `Switch to ${chain.name}` }).click();
  await expect(main.getByText(`${WALLET_NAME} is on another chain`)).toHaveCount(0);
  await expect(page.getByRole("button", { name: `Account ${wallet.address}` })).toBeVisible();
  const [added, ...more] = wallet.added;
  expect(more).toEqual([]);
  expect(Number(added?.chainId)).toBe(chain.id);
  expect(added?.chainName).toBe(chain.name);
  expect(added?.rpcUrls.map((url) => new URL(url).port)).toEqual([new URL(rpc).port]);
  expect(wallet.asked.filter((method) => method.startsWith("wallet_"))).toEqual([
    "wallet_switchEthereumChain",
    "wallet_addEthereumChain",
    "wallet_switchEthereumChain",
  ]);
  expect(watched.errors).toEqual([]);
});

test("a wallet that declines is not asked twice, and the page stays usable", async ({
  page,
  setting: { rpc },
}) => {
  await installWallet(page, rpc, {});
  await page.goto("/account");
  await page.getByRole("button", { name: WALLET_NAME }).click();
  const main = page.getByRole("main");
  await main.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("dialog", { name: "Sign in" }).getByRole("button", { name: "Decline" }).click();
  await expect(main.getByText("not signed in")).toBeVisible();
  await expect(main.getByRole("alert")).toHaveCount(0);
  await expect(main.getByRole("button", { name: "Sign in" })).toBeEnabled();
});

test("earnings are saved as CSV, line by line as they are shown", async ({ page }) => {
  const { contributor, receipt } = await seed(setting());
  await page.goto(`/earnings/${contributor}`);
  await settled(page);
  const saving = page.waitForEvent("download");
  await page.getByRole("link", { name: "Save all as CSV" }).click();
  const saved = await saving;
  expect(saved.suggestedFilename().toLowerCase()).toBe(`statement-${contributor.toLowerCase()}.csv`);
  const lines = (await readAll(await saved.createReadStream())).toString("utf8").trimEnd().split(/\r?\n/);
  const [head = "", ...rows] = lines.map((line) => line.split(","));
  expect(head).toContain("receipt");
  const shown = page.getByRole("table", { name: "Statement" }).locator("tbody tr");
  await expect(shown).toHaveCount(rows.length);
  expect(rows.map((row) => row[head.indexOf("receipt")])).toContain(receipt);
});

async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

test("an account chosen once is there after a reload", async ({ page }) => {
  await actAs(page, 5);
  await page.goto("/");
  await expect(page.getByRole("button", { name: /^Account 0x/ })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("button", { name: /^Account 0x/ })).toBeVisible();
});
