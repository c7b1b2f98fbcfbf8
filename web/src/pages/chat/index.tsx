/** OpenChat: questions to published models, what each answer cost, and whom it pays. */
import type { RouteObject } from "react-router";

export const routes: RouteObject[] = [
  { path: "chat", lazy: async () => ({ Component: (await import("./Chat")).Chat }) },
  { path: "chat/:model", lazy: async () => ({ Component: (await import("./Chat")).Chat }) },
];
