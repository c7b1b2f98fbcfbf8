/** Models: the registry, and one model with everything that made it. */
import type { RouteObject } from "react-router";

export const routes: RouteObject[] = [
  { path: "models", lazy: async () => ({ Component: (await import("./Models")).Models }) },
  { path: "models/:name", lazy: async () => ({ Component: (await import("./ModelPage")).ModelPage }) },
];
