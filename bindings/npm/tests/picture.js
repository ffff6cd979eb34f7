// A picture of the page: node picture.js PICTURE.png

import { open } from "./browser.js";

const { XSFM_PAGE: folder, XSFM_PACKAGES: packages, XSFM_CHROMIUM: chromium } = process.env;
const { page, url, close } = await open(folder, { packages, chromium, colorScheme: "light" });
await page.setViewportSize({ width: 960, height: 640 });
await page.goto(url);
await page.waitForSelector("#ranked tr");
// Until the engine has compiled well what is called often, and films were ranked once more.
await page.waitForTimeout(1000);
await page.screenshot({ path: process.argv[2] });
await close();
