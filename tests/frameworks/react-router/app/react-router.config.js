export default {
  ssr: true,
  // The public name of the site. The tests use another one.
  allowedActionOrigins: [process.env.PUBLIC_HOST ?? "app.example.com"],
};
