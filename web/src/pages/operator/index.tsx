/** The operator's view: what runs on this node, how busy it is, how settlement stands. */
import type { RouteObject } from "react-router";

export const routes: RouteObject[] = [
  { path: "operator", lazy: async () => ({ Component: (await import("./Operator")).Operator }) },
];
