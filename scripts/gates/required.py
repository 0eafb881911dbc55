"""The verb `required`: the one gate that branch protection asks for."""
