/** Earnings: what an account earned, with what, and how it gets it. */
import type { RouteObject } from "react-router";

const lazy = async () => ({ Component: (await import("./Earnings")).Earnings });

export const routes: RouteObject[] = [
  { path: "earnings", lazy },
  { path: "earnings/:address", lazy },
];
