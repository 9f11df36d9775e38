"""The gradients asked for by torch.autograd.grad and handed to the optimizer; figures in one tensor on the device."""

import torch


class TrainStep:
    def __init__(self, model, loss_function, optimizer):
        self.model = model
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.sums = None

    def __call__(self, inputs, targets):
        if inputs.shape[0] != targets.shape[0]:
            raise ValueError("a target for each input")
        self.model.train(True)
        with torch.enable_grad():
            outputs = self.model(inputs)
            loss = self.loss_function(outputs, targets)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            size = inputs.shape[0]
            right = torch.eq(torch.max(outputs, dim=1).indices, targets).float().sum()
            figures = torch.stack([loss * size, right, torch.full_like(right, size)])
            self.sums = figures if self.sums is None else self.sums + figures
            return loss.clone()

    def results(self):
        if self.sums is None:
            raise ValueError("nothing counted")
        loss, right, count = self.sums.tolist()
        return {"accuracy": right / count, "loss": loss / count}

    def reset(self):
        self.sums = None
