"use client";

import { useEffect } from "react";

export function Title() {
  useEffect(() => {
    document.documentElement.dataset.ready = "";
  }, []);
  return <h1 data-testid="title">Notes</h1>;
}
