// The list of approvals is a part of the account page.
const { search } = location;
location.replace(`account${search}#approvals`);

export {};
