/** The browser page of each test, watched: what it logs, what it breaks, what its policy refuses. */
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Locator, type Page } from "@playwright/test";
import { type Setting, setting } from "./setup";
import { WALLET_NAME } from "./wallet";

export { expect, type Locator, type Page };

export interface Watched {
  /** Errors on the console and exceptions that nobody caught. */
  errors: string[];
  /** Reports that the content security policy refused something. */
  refused: string[];
}

interface Fixtures {
  setting: Setting;
  watched: Watched;
}

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of fixtures from this pattern
  setting: async ({}, use) => use(setting()),
  // biome-ignore lint/correctness/noEmptyPattern: see above
  baseURL: async ({}, use) => use(setting().site),
  watched: async ({ page }, use) => {
    const watched: Watched = { errors: [], refused: [] };
    page.on("console", (message) => {
      if (message.type() !== "error") return;
      const text = `${message.text()} (${message.location().url})`;
      if (/content security policy/i.test(text)) watched.refused.push(text);
      else watched.errors.push(text);
    });
    page.on("pageerror", (error) => watched.errors.push(error.stack ?? error.message));
    await use(watched);
  },
});

/** The page's heading is there, and nothing is being waited for any more. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator("h1")).toBeVisible();
  // What is on its way says so in a status; cut texts of records end the same way.
  const loading = page.getByRole("main").getByRole("status").filter({ hasText: / …$/, visible: true });
  await expect(loading).toHaveCount(0);
}

/** The card of that title, which says what is about to be signed, what it costs, and whether it is on chain. */
async function card(page: Page, title: string | RegExp, timeout: number) {
  const shown = page.getByRole("dialog", { name: title });
  await expect(shown).toBeVisible({ timeout });
  await expect(shown).toContainText("Costs");
  await expect(shown).toContainText(/on chain|off chain/);
  return shown;
}

/** Agrees to the card of that title, and signs with the wallet. */
export async function approve(page: Page, title: string | RegExp, timeout = 20_000): Promise<void> {
  const shown = await card(page, title, timeout);
  await shown.getByRole("button", { name: new RegExp(`with ${WALLET_NAME}$`) }).click();
  await expect(shown).toBeHidden();
}

/** Agrees to the card of that title, and signs with a development account. */
export async function agree(page: Page, title: string | RegExp, timeout = 20_000): Promise<void> {
  const shown = await card(page, title, timeout);
  // The button has the focus, so that the keyboard suffices.
  await expect(shown.getByRole("button").last()).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(shown).toBeHidden();
}

/** Has the page act as the development account of that number from its first load on. */
export async function actAs(page: Page, account: number): Promise<void> {
  await page.addInitScript(
    (choice) => localStorage.setItem("openledger.wallet", choice),
    `mnemonic:${account}`,
  );
}

/** Violations that keep people out, of serious or critical impact: of these rules, or of all. */
export async function violations(page: Page, ...rules: string[]): Promise<string[]> {
  const axe = new AxeBuilder({ page });
  const { violations: found } = await (rules.length > 0 ? axe.withRules(rules) : axe).analyze();
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.target.join(" ")}\n  ${node.failureSummary}`),
    );
}
