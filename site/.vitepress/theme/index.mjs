// The default theme with the fonts of the system: no page loads anything from elsewhere.
import DefaultTheme from "vitepress/theme-without-fonts";
import "./style.css";

export default DefaultTheme;
