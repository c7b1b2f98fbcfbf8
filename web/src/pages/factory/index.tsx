/** ModelFactory: training jobs, from the choice of data to a published model. */
import type { RouteObject } from "react-router";

export const routes: RouteObject[] = [
  { path: "factory", lazy: async () => ({ Component: (await import("./Jobs")).Jobs }) },
  { path: "factory/new", lazy: async () => ({ Component: (await import("./New")).New }) },
  { path: "factory/jobs/:id", lazy: async () => ({ Component: (await import("./JobPage")).JobPage }) },
];
