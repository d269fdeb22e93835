"""The trunk's network, against torchvision's."""

import torch

from handler.resnet import ResNet18
from scripts.learning.imagenet import resnet18


def test_a_seed_draws_the_weights_that_torchvision_draws_and_they_give_the_same_features():
    torch.manual_seed(0)
    own, next_drawn = ResNet18().eval(), torch.rand(3)
    torch.manual_seed(0)
    theirs, next_drawn_by_theirs = resnet18().eval(), torch.rand(3)
    assert torch.equal(next_drawn, next_drawn_by_theirs)
    theirs.fc = torch.nn.Identity()
    weights = theirs.state_dict()
    assert list(own.state_dict()) == list(weights)
    for name, drawn in own.state_dict().items():
        assert torch.equal(drawn, weights[name]), name
    for buffers in (own.buffers(), theirs.buffers()):  # or the normalisation would change nothing
        generator = torch.Generator().manual_seed(1)
        for buffer in buffers:
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5, generator=generator)
    pictures = torch.rand(2, 3, 97, 130)
    with torch.inference_mode():
        features = own(pictures).mean(dim=(2, 3))
        assert torch.allclose(features, theirs(pictures), rtol=1e-5, atol=1e-6)
