/** Before all tests: the node, and where its pages are served. */
import { preview } from "vite";
import { type NodeUrls, startNode } from "./node";

const VARIABLE = "OPENLEDGER_E2E";

export interface Setting extends NodeUrls {
  /** Where the pages are. */
  site: string;
}

/** What the setup found out; tests run in another process. */
export function setting(): Setting {
  const text = process.env[VARIABLE];
  if (text === undefined) throw new Error("the setup has not run");
  return JSON.parse(text) as Setting;
}

/**
 * The node serves its own pages. `OPENLEDGER_E2E_DIST` names a folder of built pages to be served beside it instead,
 * so that pages can be tried without building the program anew.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const node = await startNode();
  const dist = process.env.OPENLEDGER_E2E_DIST;
  let site = node.gateway;
  let close = async () => {};
  try {
    if (dist !== undefined) {
      process.env.OPENLEDGER_GATEWAY = node.gateway;
      const server = await preview({ build: { outDir: dist }, preview: { host: "127.0.0.1" } });
      const [local] = server.resolvedUrls?.local ?? [];
      if (local === undefined) throw new Error("vite preview does not say where it listens");
      site = local.replace(/\/$/, "");
      close = () => server.close();
    }
    const page = await fetch(`${site}/`);
    if (!page.ok || !(await page.text()).includes('id="app"')) {
      throw new Error(`${site}/ is not the web app (status ${page.status})`);
    }
  } catch (error) {
    await node.stop();
    throw error;
  }
  const { rpc, gateway, binary, scratch } = node;
  process.env[VARIABLE] = JSON.stringify({ rpc, gateway, binary, scratch, site } satisfies Setting);
  return async () => {
    await close();
    await node.stop();
  };
}
