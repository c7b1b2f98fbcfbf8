// Pictures of pages, light, dark and narrow: node scripts/shots.mjs BASE_URL PATH...
// SHOT_WALLET is what the browser's storage says of the wallet, such as mnemonic:3.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [base = "http://127.0.0.1:4173", ...paths] = process.argv.slice(2);
const out = new URL("../test-results/", import.meta.url).pathname;
mkdirSync(out, { recursive: true });
const KINDS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { name: "narrow", colorScheme: "light", viewport: { width: 360, height: 740 } },
];

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
for (const { name, ...options } of KINDS) {
  const page = await (await browser.newContext(options)).newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") console.log(name, message.text());
  });
  page.on("pageerror", (error) => console.log(name, error.message));
  await page.addInitScript((wallet) => {
    if (wallet) localStorage.setItem("openledger.wallet", wallet);
  }, process.env.SHOT_WALLET ?? "");
  for (const path of paths.length > 0 ? paths : ["/"]) {
    await page.goto(base + path);
    await page.waitForSelector("h1");
    await page.waitForTimeout(900);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    if (wide) console.log(`${name} ${path} is wider than the window`);
    const file = `${path.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "") || "home"}${process.env.SHOT_SUFFIX ?? ""}-${name}.png`;
    await page.screenshot({ path: out + file, fullPage: true });
    console.log(out + file);
  }
  await page.context().close();
}
await browser.close();
